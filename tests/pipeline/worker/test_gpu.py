import pytest

from pipeline.worker.gpu import gpu_name


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("echo NVIDIA L40S", "NVIDIA L40S"),
        ("echo 'NVIDIA H100 80GB HBM3'; echo 'NVIDIA H100 80GB HBM3'", "NVIDIA H100 80GB HBM3"),
        ("echo 'No devices were found'; exit 6", None),
        ("true", None),
        ("echo", None),
    ],
)
def test_the_driver_is_asked_for_the_first_gpu(script: str, name: str | None) -> None:
    assert gpu_name(("/bin/sh", "-c", script)) == name


def test_without_a_driver_there_is_no_gpu() -> None:
    assert gpu_name(("no-such-program",)) is None
