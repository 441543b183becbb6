"""Names of repositories are checked by the hub's own rule."""

import pytest
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from pydantic import ValidationError

from hfft.publish.spec import Publish, repository_name

NAMES = (
    *("model", "me/model", "m", "_a/b_", "a.b-c_d/e.f", "x" * 96, "me/" + "x" * 96, "A1/0"),
    *("", "/", "me/", "/model", "a/b/c", "x" * 97, "me/" + "x" * 97, "me/a--b", "a..b", "-a", "a-", ".a", "me/a."),
    *("me/-a", "me-/a", "me/a.git", "me/café", "me/a b", "me/文件", "me/a\n", "me/a%", "me\\a"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_refused_if_the_hubs_client_refuses_it(name):
    try:
        validate_repo_id(name)
        fine = True
    except HFValidationError:
        fine = False
    if fine:
        assert repository_name(name) == name
        return
    with pytest.raises(ValidationError, match=r"cannot name a repository, because it .*; choose another name"):
        Publish(hub_model_id=name)
