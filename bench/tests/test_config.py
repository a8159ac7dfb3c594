# SPDX-License-Identifier: GPL-2.0-or-later
"""Descriptions of machines: defaults, what is refused and how it is said."""
import pytest

from bench.config import Config, parse_size
from bench.errors import BenchError


@pytest.mark.parametrize("text, mib", [("1536M", 1536), ("6G", 6144), ("16T", 16 << 20), ("512", 512),
                                       ("2GiB", 2048), (" 4g ", 4096)])
def test_sizes(text, mib):
    assert parse_size(text) == mib


@pytest.mark.parametrize("text", ["", "0", "G", "-1G", "1.5G", "6X", "6 G B"])
def test_bad_sizes(text):
    with pytest.raises(BenchError, match="is not a size"):
        parse_size(text)


def test_defaults_follow_the_hypervisor():
    assert (Config().iommu, Config().boot, Config().mem) == ("none", "direct", 2048)
    xen = Config(hypervisor="xen")
    assert (xen.iommu, xen.boot, xen.mem) == ("intel", "direct", 4096)


@pytest.mark.parametrize("wrong", [
    {"hypervisor": "kvm"}, {"disk": "floppy"}, {"smp": -1}, {"smp": 1000}, {"mem": 1},
    {"hypervisor": "bulkhead", "boot": "direct"}, {"cpu": "intel", "icount": True},
    {"cpu": "intel", "disk": "nvme"}, {"cpu": "intel", "iommu": "intel"}])
def test_what_the_bench_does_not_have_is_refused(wrong):
    with pytest.raises(BenchError) as error:
        Config(**wrong)
    assert error.value.remedy


def test_a_description_survives_being_written_down():
    config = Config(hypervisor="xen", usb=["storage@3"], disks=["efi-guest"])
    assert Config.from_dict(config.as_dict()) == config
    assert Config.from_dict(config.as_dict()).hash() == config.hash()
    assert config.replace(smp=3).hash() != config.hash()
