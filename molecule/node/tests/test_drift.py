"""Somebody changes a host by hand; a run puts back exactly that."""

import testinfra


def test_exactly_what_drifted_is_repaired(converge):
    plain = testinfra.get_host("docker://elephant-node-plain")
    plain.check_output("sed -i s/swappiness.*/swappiness=60/ /etc/sysctl.d/99-elephant.conf")
    plain.check_output("sed -i s/^ENABLED=.*/ENABLED=yes/ /etc/ufw/ufw.conf")
    turned = testinfra.get_host("docker://elephant-node-turned")
    turned.check_output("rm /etc/ssh/sshd_config.d/00-elephant.conf && systemctl reload ssh")

    run = converge()

    assert run.status == 0, run.output
    assert run.changed == {
        ("plain", "The configuration is in place"),
        ("plain", "The image's ufw lets everything through"),
        ("turned", "The configuration is in place"),
        ("turned", "The SSH server follows its configuration"),
    }, run.output


def test_a_mirror_that_does_not_answer_stops_only_who_has_no_index(converge):
    plain = testinfra.get_host("docker://elephant-node-plain")
    dead, lists = "/etc/apt/apt.conf.d/99-dead-mirror", "/var/lib/apt/lists"
    proxy = 'Acquire::http::Proxy "http://127.0.0.1:9"; Acquire::https::Proxy "http://127.0.0.1:9"; Acquire::Retries "0";'
    plain.check_output("echo %s > %s", proxy, dead)
    now = ("--limit", "plain", "--extra-vars", "node_package_index_minutes=0")
    try:
        assert plain.run("apt-get update -o APT::Update::Error-Mode=any").rc != 0, "the mirror answers"
        run = converge(*now)
        assert (run.status, run.changed) == (0, set()), run.output
        plain.check_output(f"mv {lists} {lists}.away && mkdir -p {lists}/partial")
        run = converge(*now)
        assert run.status != 0 and "The package index is fresh" in run.output, run.output
    finally:
        plain.run(f"rm {dead}; [ ! -d {lists}.away ] || {{ rm -r {lists}; mv {lists}.away {lists}; }}")
