"""docs/concepts/backup.md says what happens."""


def test_the_page_shows_what_one_sees(page):
    page("backup")
