"""What is too little for several threads is computed on one."""

import pytest
import torch

from hfft.frozen_cache.threads import one_thread


@pytest.fixture
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("device", "inside"), [("cpu", 1), ("cuda", 3), ("meta", 3)])
def test_a_cpu_computes_on_one_thread_within_and_on_as_many_as_before_after(device, inside, three_threads):
    with one_thread(torch.device(device)):
        assert torch.get_num_threads() == inside
    assert torch.get_num_threads() == 3
    with pytest.raises(RuntimeError), one_thread(torch.device(device)):
        raise RuntimeError
    assert torch.get_num_threads() == 3
