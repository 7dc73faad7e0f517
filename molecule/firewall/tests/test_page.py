"""docs/concepts/firewall.md says what happens."""


def test_the_page_shows_what_one_sees(page, hosts):
    # The servers of the other tests hold the ports that the page listens on.
    hosts.sh("first", "systemctl stop 'listen-*'")
    page("firewall")
