"""From texts to logits with torch: checkpoints, and whatever else transformers loads as a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from dkd_cli.data.encoding import PaddingCollator, empty_token
from dkd_cli.data.first_pieces import words_in
from dkd_cli.data.kinds import KINDS, kind_of_model
from dkd_cli.data.tasks import resolve_task
from dkd_cli.engine.deploy.predictor import LONGEST, Logits, Pairs, Predictor
from dkd_cli.engine.machine.precision import decide, overflows_bf16
from dkd_cli.engine.models.inference import model_inputs
from dkd_cli.engine.models.models import limits, load_trained, locate_model
from dkd_cli.engine.models.word_logits import answered
from dkd_cli.engine.runs.checkpoints import read_run
from dkd_cli.errors import NumericError


def torch_predictor(name: str) -> Predictor:
    """Answers with the precision, the length and the columns of the model's recipe, where it has one.

    Raises:
        ModelError: where there is no trained classifier, or it is damaged.
    """
    located = Path(locate_model(name, name))
    run = read_run(located) if located.is_dir() else None
    loaded = load_trained(name, name)
    model, tokenizer = loaded.model, loaded.tokenizer
    compute = decide(run.recipe.train.precision if run else "auto")
    model.to(compute.device)
    longest = run.recipe.data.max_length if run else limits(model).positions or LONGEST
    longest = min(longest, tokenizer.model_max_length)
    task = resolve_task(run.recipe.data) if run else None

    labels = tuple(str(model.config.id2label[index]) for index in range(model.config.num_labels))
    kind = kind_of_model(model.config.problem_type, len(labels), model.config.architectures)
    by_word = KINDS[kind].by_word
    collator, nothing = PaddingCollator(tokenizer), empty_token(tokenizer)
    notes: list[str] = []

    @torch.inference_mode()
    def logits(texts: Sequence[str], pairs: Pairs) -> tuple[Logits, int]:
        encoded = tokenizer(
            list(texts),
            None if pairs is None else list(pairs),
            truncation=True,
            max_length=longest,
            return_offsets_mapping=by_word,
        )
        types = encoded.get("token_type_ids")
        batch = collator(
            [
                {"input_ids": ids or [nothing], "row": row}
                | ({} if types is None else {"token_type_ids": types[row] or [0]})
                | ({"words": words_in(texts[row], encoded["offset_mapping"][row])} if by_word else {})
                for row, ids in enumerate(encoded["input_ids"])
            ]
        )
        nonlocal compute
        inputs = model_inputs(model, batch, compute.device)
        try:
            with compute.autocast():
                output = model(**inputs).logits
        except RuntimeError as error:
            if not overflows_bf16(error):
                raise
            # So does every batch of such an architecture: all its texts are read in fp32.
            notes.append(f"{name}: read in fp32, because its architecture fails in {compute.name}")
            compute = decide("fp32")
            output = model(**inputs).logits
        said: Logits = answered(output.float(), batch).cpu().numpy()
        if not np.isfinite(said).all():
            raise NumericError(name, "an answer is not a finite number", "train again in fp32")
        # Tokenizers in plain Python have no encodings and do not tell what they cut.
        cut = sum(bool(one.overflowing) for one in encoded.encodings or ())
        return said, cut

    return Predictor(
        labels if len(labels) > 1 else None,
        kind,
        task.text if task and not by_word else "text",
        task.text_pair if task else None,
        longest,
        logits,
        notes,
    )
