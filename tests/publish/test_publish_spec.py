"""Names of repositories are checked with the recipe, by the rule of the hub's client."""

import pytest
from pydantic import ValidationError

from hfft.publish.spec import Publish


@pytest.mark.parametrize("name", ["model", "me/model", "_a/b_", "a.b-c_d/e.f", "x" * 96, "A1/0"])
def test_a_name_that_the_hub_takes_is_accepted(name):
    assert Publish(hub_model_id=name).hub_model_id == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "/", "me/", "/model", "a/b/c", "x" * 97, "me/a--b", "a..b", "-a", "a-", ".a", "me/a.", "me/a.git"),
        *("me/café", "me/a b", "me/文件", "me/a\n", "me/a%", "me\\a"),
    ],
)
def test_a_name_that_the_hub_refuses_is_refused_with_the_recipe(name):
    with pytest.raises(ValidationError, match=r"cannot name a repository: .*; choose another name"):
        Publish(hub_model_id=name)
