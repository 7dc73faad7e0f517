"""The root as files: its form, that it is valid, and tofu's own tests of it."""

import re

import pytest
from conftest import CHECKOUT, ROOT, Tofu, copy_root

MODULES = [ROOT, *sorted(path for path in (ROOT / "modules").iterdir())]
every_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)


def blocks(text: str, kind: str) -> dict[str, str]:
    """The blocks of a kind, by name, as tofu fmt lays them out."""
    return dict(re.findall(rf'^{kind} "([^"]+)"[^\n]*{{\n(.*?)^}}', text, flags=re.MULTILINE | re.DOTALL))


def test_every_file_is_formatted(program, tmp_path):
    done = Tofu(program, ROOT, tmp_path)("fmt", "-check", "-diff", "-recursive")
    assert done.code == 0, done.out


def test_the_root_is_valid_and_every_guardrail_refuses(initialised):
    initialised.ok("validate")
    done = initialised("test")
    assert done.code == 0, done.out
    assert re.search(r"^Success! [1-9]\d+ passed, 0 failed", done.out, flags=re.MULTILINE), done.out


def test_main_composes_modules_and_nothing_else():
    text = (ROOT / "main.tf").read_text()
    assert set(re.findall(r"^(\w+)", text, flags=re.MULTILINE)) == {"module"}
    assert set(blocks(text, "module")) == {path.name for path in (ROOT / "modules").iterdir()}


@every_module
def test_a_module_says_which_provider_it_needs(module):
    assert (module / "versions.tf").read_text() == (ROOT / "versions.tf").read_text()
    assert 'version = ">= 2.33.0, < 3.0.0"' in (module / "versions.tf").read_text()


@every_module
def test_variables_are_in_order_typed_described_and_null_only_where_that_means_something(module):
    variables = blocks((module / "variables.tf").read_text(), "variable")
    assert list(variables) == sorted(variables)
    for name, body in variables.items():
        assert "description =" in re.sub(" +", " ", body), name
        assert re.search(r"^  type +=", body, flags=re.MULTILINE), name
        null_is_refused = re.search(r"^  nullable += false", body, flags=re.MULTILINE)
        null_is_meant = re.search(r"^  default += null", body, flags=re.MULTILINE)
        assert bool(null_is_refused) != bool(null_is_meant), name


@every_module
def test_a_readme_lists_exactly_the_variables(module):
    variables = blocks((module / "variables.tf").read_text(), "variable")
    assert re.findall(r"^\| `(\w+)` \| (?!.*\|.*\|.*\|)", (module / "README.md").read_text(), flags=re.MULTILINE) == list(variables)


def test_the_example_has_every_variable(initialised):
    example = (ROOT / "terraform.tfvars.example").read_text()
    assert set(re.findall(r"^# (\w+) += ", example, flags=re.MULTILINE)) == set(blocks((ROOT / "variables.tf").read_text(), "variable"))


def test_the_examples_values_are_the_defaults_where_it_says_so():
    defaults = {
        name: found[1]
        for name, body in blocks((ROOT / "variables.tf").read_text(), "variable").items()
        if (found := re.search(r'^  default +=( "[^"]+"| \d+| true)$', body, flags=re.MULTILINE))
    }
    example = dict(re.findall(r'^# (\w+) +=( "[^"]+"| \d+| true)$', (ROOT / "terraform.tfvars.example").read_text(), flags=re.MULTILINE))
    assert {name: value for name, value in example.items() if name != "vultr_api_key"} == defaults


def test_a_users_files_stay_out_of_git():
    ignored = (CHECKOUT / ".gitignore").read_text().split()
    assert {"/tofu/*.tfvars", "/tofu/*.tfstate", "/tofu/*.tfstate.*", "/tofu/.terraform/"} <= set(ignored)


def test_a_provider_that_cannot_read_what_it_makes_is_refused_at_init(program, mirror, home, tmp_path):
    config = tmp_path / "tofu.rc"
    folder = tmp_path / "mirror/registry.opentofu.org/vultr/vultr/2.32.0/linux_amd64"
    folder.mkdir(parents=True)
    (folder / "terraform-provider-vultr").touch(mode=0o755)
    config.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{tmp_path / "mirror"}"\n  }}\n}}\n')
    done = Tofu(program, copy_root(tmp_path / "tofu"), home, {"TF_CLI_CONFIG_FILE": str(config)})("init")
    assert done.code == 1
    assert "no available releases match the given constraints >= 2.33.0, < 3.0.0" in done
