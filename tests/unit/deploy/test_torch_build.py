"""Which build of torch is installed on which machine, and by whom."""

from __future__ import annotations

import pytest

from deploy.torch_build import Kind, Machine, Offer, choose, detect_machine, installed_build, read_offer

NO_GPU, GPU = Machine(False), Machine(True, 580)
CPU_OFFER, CUDA_OFFER = Offer(Kind.CPU, None, ()), Offer(Kind.CUDA, 13, ())


def report(version, *beside):
    packages = [("torch", version), *beside]
    return {
        "install": [
            {"metadata": {"name": name, "version": found}, "download_info": {"url": f"https://index/{name}.whl"}}
            for name, found in packages
        ]
    }


@pytest.mark.parametrize(
    ("version", "beside", "kind", "cuda"),
    [
        ("2.13.0+cpu", [("sympy", "1.14")], Kind.CPU, None),
        ("2.13.0", [("sympy", "1.14")], Kind.CPU, None),  # PyPI's for macOS
        ("2.13.0", [("nvidia-cudnn-cu12", "9.2"), ("triton", "3.7")], Kind.CUDA, 12),
        ("2.13.0", [("cuda-toolkit", "13.0.3.0"), ("nvidia-cublas", "13.1.1.3")], Kind.CUDA, 13),
        ("2.13.0", [("nvidia_cuda_runtime", "13.0.96")], Kind.CUDA, 13),
        ("2.13.0", [("nvidia-cublas", "13.1")], Kind.CUDA, None),
        ("2.13.0+cu126", [("sympy", "1.14")], Kind.CUDA, 12),
        ("2.13.0+rocm7.2", [], Kind.OTHER, None),
        ("2.13.0", [("pytorch-triton-rocm", "3.7")], Kind.OTHER, None),
        ("2.13.0+xpu", [("intel-sycl-rt", "2026.1")], Kind.OTHER, None),
    ],
)
def test_pips_report_tells_the_kind_of_build(version, beside, kind, cuda):
    offer = read_offer(report(version, *beside))
    assert (offer.kind, offer.cuda) == (kind, cuda)
    assert len(offer.packages) == 1 + len(beside)


def test_a_report_without_torch_is_no_offer():
    with pytest.raises(ValueError, match="no torch"):
        read_offer({"install": []})


@pytest.mark.parametrize(
    ("offer", "machine", "backend", "installer", "kind"),
    [
        (CPU_OFFER, NO_GPU, "auto", None, Kind.CPU),
        (CUDA_OFFER, NO_GPU, "auto", "cpu", Kind.CPU),
        (Offer(Kind.OTHER, None, ()), NO_GPU, "auto", "cpu", Kind.CPU),
        (None, NO_GPU, "auto", "cpu", Kind.CPU),
        (CUDA_OFFER, GPU, "auto", None, Kind.CUDA),
        (CPU_OFFER, GPU, "auto", "auto", Kind.CUDA),
        (None, GPU, "auto", "auto", Kind.CUDA),
        # CUDA 13 needs driver 580; uv chooses a build for the driver that is there.
        (CUDA_OFFER, Machine(True, 550), "auto", "auto", Kind.CUDA),
        (Offer(Kind.CUDA, 12, ()), Machine(True, 550), "auto", None, Kind.CUDA),
        (CUDA_OFFER, Machine(True, None), "auto", None, Kind.CUDA),
        (Offer(Kind.CUDA, None, ()), GPU, "auto", None, Kind.CUDA),
        # Images are built where there is no GPU, or for another machine.
        (CUDA_OFFER, GPU, "cpu", "cpu", Kind.CPU),
        (CPU_OFFER, GPU, "cpu", None, Kind.CPU),
        (CUDA_OFFER, NO_GPU, "cu130", "cu130", Kind.CUDA),
        (CUDA_OFFER, NO_GPU, "index", None, Kind.CUDA),
    ],
)
def test_the_build_suits_the_machine(offer, machine, backend, installer, kind):
    choice = choose(offer, machine, backend)
    assert (choice.backend, choice.kind) == (installer, kind)
    assert choice.reason


def test_an_installed_build_is_told_by_what_it_needs():
    assert installed_build("2.13.0", ["sympy>=1.13", 'nvidia-cublas==13.1; platform_system == "Linux"']) is Kind.CUDA
    assert installed_build("2.13.0+cpu", ["sympy>=1.13"]) is Kind.CPU


@pytest.mark.parametrize(
    ("answer", "code", "machine"),
    [("580.95.05\n580.95.05", 0, Machine(True, 580)), ("No devices were found", 6, NO_GPU)],
)
def test_the_driver_tells_whether_there_is_a_gpu(tmp_path, monkeypatch, answer, code, machine):
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\ncat <<'E'\n{answer}\nE\nexit {code}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("deploy.torch_build.GPU_DEVICES", ())
    assert detect_machine() == machine
