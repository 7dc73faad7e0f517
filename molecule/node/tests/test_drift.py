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
