"""The verifiers of role databases, against the exchange that RFC 7677 prints."""

import base64
import hmac
import importlib.util
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("scram", Path(__file__).parents[1] / "plugins/module_utils/scram.py")
scram = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(scram)


def test_a_verifier_is_told_from_its_password_again():
    for password in ("pencil", "p'a\"s%s ﬁ\u00a0é", "\u0627\u0644", "a\u0627", "\u00ad", "\u0000ä"):
        assert scram.matches(password, scram.make_verifier(password))
        assert not scram.matches(password + "x", scram.make_verifier(password))


def test_passwords_are_prepared_as_rfc_4013_says():
    assert scram.saslprep("I\u00adX") == "IX"
    assert scram.saslprep("\u00aa") == "a"
    assert scram.saslprep("\u2168") == "IX"
    # Prohibited or mixed directions: used as they are, as the server does.
    assert scram.saslprep("\u0007é") == "\u0007é"
    assert scram.saslprep("\u06271") == "\u06271"


def test_keys_are_those_of_rfc_7677():
    # Section 3 of the RFC: user "user", password "pencil"; the server's signature proves the key.
    verifier = scram.make_verifier("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    message = (
        "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    signature = hmac.digest(base64.b64decode(verifier.rpartition(":")[2]), message.encode(), "sha256")
    assert base64.b64encode(signature).decode() == "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


@pytest.mark.parametrize("stored", [None, "", "md5abc", "SCRAM-SHA-256$x", "SCRAM-SHA-256$4096:!$!:!"])
def test_any_other_form_does_not_match(stored):
    assert not scram.matches("pencil", stored)
