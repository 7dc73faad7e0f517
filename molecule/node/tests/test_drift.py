"""Somebody changes a host by hand; a run puts back exactly that."""

import testinfra
from cluster import until


def test_exactly_what_drifted_is_repaired(converge):
    plain = testinfra.get_host("docker://elephant-node-plain")
    plain.check_output("sed -i s/swappiness.*/swappiness=60/ /etc/sysctl.d/zz-elephant.conf")
    plain.check_output("sed -i s/^ENABLED=.*/ENABLED=yes/ /etc/ufw/ufw.conf")
    turned = testinfra.get_host("docker://elephant-node-turned")
    turned.check_output("ip ntable change name arp_cache dev eth0 retrans 1000")
    turned.check_output("rm /etc/ssh/sshd_config.d/00-elephant.conf && systemctl reload ssh")

    run = converge()

    assert run.status == 0, run.output
    assert run.changed == {
        ("plain", "The configuration is in place"),
        ("plain", "The image's ufw lets everything through"),
        ("turned", "The configuration is in place"),
        ("turned", "A neighbour that is gone is soon known as gone, now and after a boot"),
        ("turned", "The SSH server follows its configuration"),
    }, run.output


def offered(node):
    """The ways in that the running server offers; empty while it starts anew."""
    asked = "ssh -v -o StrictHostKeyChecking=no -o PreferredAuthentications=none -o UserKnownHostsFile=/dev/null root@127.0.0.1 true"
    return node.run(asked).stderr.partition("Authentications that can continue:")[2].partition("\n")[0].strip()


def test_what_a_run_owes_that_was_killed_before_its_reload_the_next_one_does(converge):
    plain = testinfra.get_host("docker://elephant-node-plain")
    file = "/etc/ssh/sshd_config.d/00-elephant.conf"
    plain.check_output(f"mv {file} /root/kept && systemctl reload ssh")
    # A reload is over for systemctl before sshd reads its files: the server is asked.
    until("passwords are offered", lambda: "password" in offered(plain))
    plain.check_output(f"mv /root/kept {file} && touch {file}")
    run = converge()
    assert (run.status, run.changed) == (0, {("plain", "The SSH server follows its configuration")}), run.output
    until("only keys are offered", lambda: offered(plain) == "publickey")


def test_a_configuration_that_lets_passwords_in_all_the_same_is_said(converge):
    plain = testinfra.get_host("docker://elephant-node-plain")
    plain.check_output("sed -i.kept '1i PasswordAuthentication yes' /etc/ssh/sshd_config && systemctl reload ssh")
    try:
        run = converge("--limit", "plain")
        assert run.status != 0 and "The SSH server of plain still says passwordauthentication yes" in run.said, run.output
    finally:
        plain.check_output("mv /etc/ssh/sshd_config.kept /etc/ssh/sshd_config && systemctl reload ssh")


def test_a_file_of_an_earlier_name_is_removed_and_a_cut_off_removal_of_swap_goes_on(converge):
    plain = testinfra.get_host("docker://elephant-node-plain")
    plain.check_output("cp /etc/sysctl.d/zz-elephant.conf /etc/sysctl.d/99-elephant.conf")
    plain.check_output("touch /swapfile && echo '/swapfile none swap sw 0 0' >> /etc/fstab")
    run = converge()
    assert run.changed == {
        ("plain", "The configuration is in place"),
        ("plain", "The disk space of the swap files is free"),
        ("plain", "No swap comes with the next boot"),
    }, run.output
    assert not plain.file("/swapfile").exists and not plain.file("/etc/sysctl.d/99-elephant.conf").exists


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
