"""Bytes to text: what is recognised as cp1252, and what is not."""

from __future__ import annotations

import pytest

from dkd_cli.errors import DataError
from dkd_cli.reading.decoding import as_western, decode

WESTERN = {
    "French": "Bonjour, je n’ai pas reçu ma commande après deux semaines, créée à l’été ; où est-elle ?",
    "capitals": "ENTRÉE CRÉÉE À L’ÉTÉ “Œuvre” naïve — coût 5 € º ª 20° m² café™",
    "German": "Für die Überweisung über 5 € bitte ich „höflich“ um Rückmeldung, schöne Grüße",
    "Spanish": "¿Dónde está mi señal? El niño mañana vendrá. ¡Gracias!",
    "Icelandic": "Það er ekki rétt, þýðing á íslensku; fræðsla, æðislegt því",
    "one letter": "text,label\ncafé,1\nbad one,0\n",
}
OTHERS = [
    ("cp1251", "Здравствуйте, где мой заказ? Прошу ответить быстро"),
    ("koi8-r", "Здравствуйте, где мой заказ? Прошу ответить быстро"),
    ("cp1253", "Καλημέρα, πού είναι η παραγγελία μου;"),
    ("cp1255", "מה שלומך היום"),
    ("cp1250", "Dzień dobry, gdzie jest moja przesyłka? Proszę o szybką odpowiedź, dziękuję"),
    ("cp1250", "Příliš žluťoučký kůň úpěl ďábelské ódy, ještě jsem nedostal zásilku"),
    ("shift_jis", "ただいま注文しました。どこですか"),
    ("gbk", "我的订单在哪里？请尽快回复"),
    ("mac_roman", "Bonjour, je n'ai pas reçu ma commande après deux semaines"),
    ("cp850", "Für die Überweisung bitte ich höflich um Rückmeldung, schöne Grüße"),
    ("cp437", "café"),
]


@pytest.mark.parametrize("text", WESTERN.values(), ids=WESTERN)
def test_western_texts_are_recognised(text: str) -> None:
    assert decode(text.encode("cp1252"), "a.csv", None) == (text, "cp1252")


@pytest.mark.parametrize(("encoding", "text"), OTHERS)
def test_other_encodings_are_not_taken_for_it(encoding: str, text: str) -> None:
    content = text.encode(encoding)
    assert as_western(content) is None
    with pytest.raises(DataError, match=r"is not utf-8; .* name its encoding in data\.encoding"):
        decode(content, "a.csv", None)
    assert decode(content, "a.csv", encoding) == (text, None)


def test_utf8_wins_over_a_declared_encoding_and_over_a_guess() -> None:
    assert decode("café".encode(), "a.csv", "cp1252") == ("café", None)
    assert decode("café".encode(), "a.csv", None) == ("café", None)


def test_one_slip_of_the_hand_in_a_long_text_is_no_other_encoding() -> None:
    text = "Está mañana, señor. ¿Dónde está? " * 20 + "hola¿que"
    assert decode(text.encode("cp1252"), "a.csv", None) == (text, "cp1252")
