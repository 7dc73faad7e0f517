"""What role pgbackrest refuses before any host is touched."""

import pytest

S3 = {"type": "s3", "endpoint": "storage.example", "bucket": "backups", "key": "k", "key_secret": "s"}
GOOD = {
    "pgbackrest_stanza": "elephant",
    "pgbackrest_members": [{"name": "node-1", "address": "192.0.2.1"}, {"name": "node-2", "address": "192.0.2.2"}],
    "pgbackrest_repositories": [S3],
    "pgbackrest_cipher_passphrase": "correct horse battery",
}
ROWS = [
    ({"pgbackrest_stanza": "a/b"}, 'pgbackrest_stanza is "a/b"'),
    ({"pgbackrest_stanza": ""}, 'pgbackrest_stanza is ""'),
    ({"pgbackrest_name": "node-9"}, "pgbackrest_name is node-9"),
    ({"pgbackrest_members": GOOD["pgbackrest_members"] * 2}, "one member twice"),
    ({"pgbackrest_members": []}, "no entry"),
    ({"pgbackrest_repositories": []}, "there would be no backup"),
    ({"pgbackrest_repositories": [S3] * 5}, "four are enough"),
    ({"pgbackrest_repositories": [S3 | {"key_secret": ""}]}, "lacks key_secret"),
    ({"pgbackrest_repositories": [{"type": "s3"}]}, "lacks endpoint, bucket, key, key_secret"),
    ({"pgbackrest_repositories": [S3 | {"endpoint": "https://storage.example"}]}, "give the host name alone"),
    ({"pgbackrest_repositories": [S3 | {"endpoint": "storage.example:9000"}]}, "give the host name alone"),
    ({"pgbackrest_repositories": [{"type": "posix", "path": "backups"}]}, "begin it with a slash"),
    ({"pgbackrest_repositories": [{"type": "gcs"}]}, "must be one of"),
    ({"pgbackrest_cipher_passphrase": "short"}, "shorter than 16"),
    ({"pgbackrest_cipher_passphrase": "long enough but\nbroken"}, "line break"),
    ({"pgbackrest_cipher_passphrase": "ends with a blank "}, "ends with a blank"),
    ({"pgbackrest_retention_days": 0}, "keep at least one day"),
    ({"pgbackrest_full_hours": 12}, "less often"),
]


@pytest.mark.parametrize(("variables", "sentence"), ROWS, ids=[sentence for _, sentence in ROWS])
def test_is_refused(refusal, variables, sentence):
    answer = refusal("pgbackrest", GOOD | variables)
    assert answer is not None
    assert sentence in answer, answer


def test_what_works_is_let_through(refusal):
    assert refusal("pgbackrest", GOOD) is None
    both = [S3 | {"port": 8443, "region": "ewr"}, {"type": "posix", "path": "/srv/backups"}]
    passphrase = 'it\'s #a; "pass" = phrase [of] %many \\signs'
    assert refusal("pgbackrest", GOOD | {"pgbackrest_repositories": both, "pgbackrest_cipher_passphrase": passphrase}) is None


@pytest.mark.parametrize("missing", GOOD)
def test_what_is_required_is_asked_for(refusal, missing):
    assert missing in refusal("pgbackrest", {name: value for name, value in GOOD.items() if name != missing})


def test_no_refusal_shows_a_secret(refusal):
    repository = S3 | {"key_secret": "hunter2hunter2", "bucket": ""}
    answer = refusal("pgbackrest", GOOD | {"pgbackrest_repositories": [repository], "pgbackrest_cipher_passphrase": "hunter2"})
    assert "hunter2" not in answer
