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
    ({"pgbackrest_restore": {"timeline": 2}}, "Where to go back to is not clear (nothing is given)"),
    ({"pgbackrest_restore": {"latest": True, "label": "20261123-030000F"}}, "not clear (latest and point or label)"),
    ({"pgbackrest_restore": {"time": "2026-11-23T14:05:00"}}, "which could be several moments"),
    ({"pgbackrest_restore": {"time": "yesterday"}}, "restore_time is yesterday"),
    ({"pgbackrest_restore": {"point": "before"}}, "restore_point is before, without restore_label"),
    ({"pgbackrest_restore": {"latest": True, "timeline": -1}}, "numbered from 1"),
]
MOMENTS = ["2026-11-23T14:05:00+00:00", "2026-11-23 14:05+01", "2026-11-23T14:05:00.123Z", "2026-11-23 14:05:00 -0330"]


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


@pytest.mark.parametrize(
    "goal", [{"time": MOMENTS[0]}, {"time": MOMENTS[3]}, {"label": "L"}, {"label": "L", "point": "P"}, {"latest": True}]
)
def test_a_clear_goal_is_let_through(refusal, goal):
    assert refusal("pgbackrest", GOOD | {"pgbackrest_restore": goal}) is None


@pytest.mark.parametrize("missing", GOOD)
def test_what_is_required_is_asked_for(refusal, missing):
    assert missing in refusal("pgbackrest", {name: value for name, value in GOOD.items() if name != missing})


def test_no_refusal_shows_a_secret(refusal):
    repository = S3 | {"key_secret": "hunter2hunter2", "bucket": ""}
    answer = refusal("pgbackrest", GOOD | {"pgbackrest_repositories": [repository], "pgbackrest_cipher_passphrase": "hunter2"})
    assert "hunter2" not in answer
