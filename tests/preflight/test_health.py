"""Bad variables of the role health are refused with a sentence that names variable, value and fix."""

import pytest


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"health_disk_percent": 100}, ("health_disk_percent is 100", "1 to 99")),
        ({"health_disk_percent": 0}, ("health_disk_percent is 0", "1 to 99")),
        ({"health_hook": ["mail", "root"]}, ("health_hook begins with mail", "absolute path")),
        ({"health_patroni_url": "http://10.0.0.1:8008"}, ("health_patroni_url is http://10.0.0.1:8008", "https://address:port")),
        ({"health_etcd_url": "10.0.0.1"}, ("health_etcd_url is 10.0.0.1", "https://address:port")),
        ({"health_disks": ["/", "var"]}, ("health_disks has var", "absolute")),
    ],
)
def test_refused(refusal, variables, words):
    said = refusal("health", variables)
    for word in words:
        assert word in said


def test_defaults_and_a_members_values_are_accepted(refusal):
    assert refusal("health", {}) is None
    assert refusal("health", {"health_patroni_url": "https://10.0.0.1:8008", "health_hook": ["/bin/true"], "health_disks": []}) is None
