"""The schedule that each kind of student trains with."""

from __future__ import annotations

from dataclasses import replace

from dkd_cli.engine.models.students import STUDENTS
from dkd_cli.recipe.schema import Data, Recipe, Train
from dkd_cli.recipe.student_kinds import STUDENT_KINDS, student_train
from dkd_cli.recipe.student_section import Student

TRAIN = Train(epochs=2.0, learning_rate=5e-4, batch_size=16, freeze="embeddings", seed=7, max_steps=9)


def trained(student: Student, transfer: tuple[str, ...] = ()) -> Train:
    data = Data(source="a.csv", transfer=transfer)
    return student_train(Recipe(name="r", model="m", data=data, student=student, train=TRAIN))


def test_every_kind_can_be_built() -> None:
    assert STUDENT_KINDS.keys() == STUDENTS.keys()


def test_an_encoder_trains_as_the_recipe_says_and_without_dropout_unless_it_says() -> None:
    assert trained(Student(layers=2)) == replace(TRAIN, dropout=0.0)
    recipe = Recipe(name="r", model="m", data=Data(source="a.csv"), train=replace(TRAIN, dropout=0.2))
    assert student_train(recipe).dropout == 0.2


def test_a_static_student_has_a_schedule_of_its_own_and_the_rest_from_the_recipe() -> None:
    own = trained(Student(family="static"))
    assert own.learning_rate > TRAIN.learning_rate
    assert own.epochs > TRAIN.epochs
    assert own.freeze == "nothing"
    assert (own.seed, own.max_steps, own.precision) == (7, 9, TRAIN.precision)


def test_a_transfer_set_makes_epochs_longer_and_fewer() -> None:
    static = Student(family="static")
    alone, more = (trained(static, transfer) for transfer in ((), ("more.txt",)))
    assert more.epochs < alone.epochs
    assert more.learning_rate == alone.learning_rate
    assert trained(Student(layers=2), ("more.txt",)) == trained(Student(layers=2))
    assert trained(Student(family="static", epochs=8.0), ("more.txt",)).epochs == 8.0


def test_a_students_own_settings_count_most() -> None:
    for family in ("encoder", "static"):
        own = trained(Student(family=family, epochs=1.0, learning_rate=0.5, freeze="encoder"))
        assert (own.epochs, own.learning_rate, own.freeze) == (1.0, 0.5, "encoder")
