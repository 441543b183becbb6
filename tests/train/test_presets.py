"""The launch presets, through Accelerate's own loader, and what it makes of them for the processes it starts."""

import os
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DeepSpeedPlugin, FullyShardedDataParallelPlugin
from accelerate.utils.fsdp_utils import fsdp2_prepare_model
from accelerate.utils.imports import is_deepspeed_available
from accelerate.utils.launch import prepare_multi_gpu_env

from hfft import layers
from hfft.errors import BadInput
from hfft.train.fsdp import name_units
from tests.examples import EVERY, head_and_depths, tiny
from tests.train import fsdp

FOLDER = Path(__file__).parents[2] / "recipes/launch"
PRESETS = sorted(path.name for path in FOLDER.glob("*.yaml"))
SIZES = {"one_gpu.yaml": (1, 1), "cpu.yaml": (1, 2), "two_nodes.yaml": (2, 16)}  # machines, processes
EMBEDLESS = {"convnext", "resnet", "efficientnet", "clip"}  # transformers knows no input embedding of theirs


def launched(name, monkeypatch, *more):
    """What `accelerate launch` understands, its defaults and the machine aside."""
    for key in os.environ:
        if key.startswith(("ACCELERATE_", "FSDP_")):
            monkeypatch.delenv(key)
    words = ["--config_file", str(FOLDER / name), *more, "hfft/run.py", "--recipe", "digits"]
    return _validate_launch_command(launch_command_parser().parse_args(words))[0]


@pytest.mark.parametrize("name", PRESETS)
def test_accelerate_knows_every_key_of_a_preset(name):
    config = load_config_from_file(str(FOLDER / name))  # raises where it meets another
    assert isinstance(config, ClusterConfig)
    written = yaml.safe_load((FOLDER / name).read_text())
    assert config.num_processes == written["num_processes"]
    assert config.distributed_type == written["distributed_type"]


@pytest.mark.parametrize("name", PRESETS)
def test_the_command_in_a_presets_header_starts_what_it_says(name, monkeypatch):
    lines = [line[2:] for line in (FOLDER / name).read_text().splitlines() if line.startswith("# accelerate launch")]
    assert lines, "a preset says how it is started"
    for line in lines:
        words = line.split()[2:]
        given = launch_command_parser().parse_args(words)
        assert Path(given.config_file).name == name
        assert given.training_script == "hfft/run.py"
        args = launched(name, monkeypatch, *words[2 : words.index("hfft/run.py")])
        assert (args.num_machines, args.num_processes) == SIZES.get(name, (1, 8))
        assert args.multi_gpu == (name in ("all_gpus.yaml", "two_nodes.yaml", "cpu.yaml"))


def test_two_nodes_differ_by_rank_and_share_an_address(monkeypatch):
    more = ("--machine_rank", "1", "--main_process_ip", "10.0.0.1", "--num_processes", "4")
    args = launched("two_nodes.yaml", monkeypatch, *more)
    prepare_multi_gpu_env(args)
    assert (args.nnodes, args.nproc_per_node, args.node_rank) == ("2", "2", 1)
    assert args.rdzv_endpoint == "10.0.0.1:29500"


def test_fsdp_is_what_the_preset_says(monkeypatch):
    environment = prepare_multi_gpu_env(launched("fsdp.yaml", monkeypatch))
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert "FULL_STATE_DICT" in str(plugin.state_dict_type)
    assert not plugin.cpu_ram_efficient_loading
    assert plugin.transformer_cls_names_to_wrap is None, "the blocks are found from the model"
    trial = {key: value for key, value in fsdp.preset().items() if environment[key] != value}
    assert trial == {}, "the trial on CPUs is of another preset"


@pytest.mark.skipif(not is_deepspeed_available(), reason="deepspeed is not installed")
def test_deepspeed_is_what_the_preset_says():
    config = load_config_from_file(str(FOLDER / "deepspeed.yaml")).deepspeed_config
    assert DeepSpeedPlugin(zero_stage=config["zero_stage"]).zero_stage == 2


@pytest.fixture(scope="module")
def world_of_one():
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


class Alone:
    """What `fsdp2_prepare_model` looks at in an Accelerator."""

    mixed_precision, is_main_process, device = "no", True, torch.device("cpu")

    def __init__(self, plugin):
        self.state = type("State", (), {"fsdp_plugin": plugin})


@pytest.mark.parametrize("adapter", [None, {"type": "lora", "r": 2}], ids=["all", "lora"])
@pytest.mark.parametrize("name", EVERY)
def test_accelerate_divides_a_model_block_by_block(name, adapter, world_of_one):
    model = tiny(name)
    names, depths = head_and_depths(model)
    model = layers.adapt(model, "all", adapter, depths, names)
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2, auto_wrap_policy="TRANSFORMER_BASED_WRAP")
    if name in EMBEDLESS:
        with pytest.raises(BadInput, match="names none; launch without FSDP"):
            name_units(plugin, model)
        return
    name_units(plugin, model)
    fsdp2_prepare_model(Alone(plugin), model)
    units = [module for module in model.modules() if type(module).__name__.startswith("FSDP")]
    assert len(units) > depths.blocks, "each block, and the root"
    assert all(isinstance(p, torch.distributed.tensor.DTensor) for p in model.parameters())


def test_units_that_the_launch_names_stay():
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2, transformer_cls_names_to_wrap=["BertSelfAttention"])
    name_units(plugin, tiny("bert"))
    assert plugin.transformer_cls_names_to_wrap == ["BertSelfAttention"]
