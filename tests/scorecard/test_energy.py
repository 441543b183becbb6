"""Energy by the counters of a device: a processor's files and a GPU's driver, both made here."""

import sys
from types import SimpleNamespace

import pytest

from hfft.scorecard import energy


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A processor with one package, whose counter goes up to 1,000 J, and a part of it."""
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    for name in ("intel-rapl:0", "intel-rapl:0:0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "max_energy_range_uj").write_text("1000000000\n")
        (tmp_path / name / "energy_uj").write_text("990000000\n")
    return tmp_path / "intel-rapl:0" / "energy_uj"


def test_the_energy_is_what_the_packages_count_since_also_where_a_counter_begins_again(package):
    joules = energy.Joules("cpu")
    assert joules.so_far() == 0
    package.write_text("995500000\n")
    assert joules.so_far() == pytest.approx(5.5)
    package.write_text("2000000\n")
    assert joules.so_far() == pytest.approx(12)


def test_nothing_is_said_where_nothing_counts_or_the_counter_is_not_to_be_read(package):
    package.unlink()
    package.mkdir()  # any error of the system
    assert energy.Joules("cpu").so_far() is None
    assert energy.Joules("cuda").so_far() is None


def test_a_gpu_counts_by_its_driver(package, monkeypatch):
    counted = iter([2_000.0, 2_000.0, 9_500.0])

    class NVMLError(Exception):
        pass

    driver = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(counted),
    )
    monkeypatch.setitem(sys.modules, "pynvml", driver)
    monkeypatch.setattr(energy.torch.cuda, "get_device_properties", lambda: SimpleNamespace(uuid="7"))
    assert energy.Joules("cuda").so_far() == pytest.approx(7.5)

    def refuse():
        raise NVMLError

    monkeypatch.setattr(driver, "nvmlInit", refuse)
    assert energy.Joules("cuda").so_far() is None
