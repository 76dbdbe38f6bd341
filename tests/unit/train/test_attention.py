"""One call of CUDA's kernel for a packed row: its arguments here, its values on a device."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import varlen  # noqa: F401
from torch.utils._python_dispatch import TorchDispatchMode

from s1_train.net import attention

CU_SEQLENS = (0, 3, 10, 11)
KERNEL = torch.ops.torch_attn._varlen_attn.default  # made by the import of varlen


def heads(device: str, dtype: torch.dtype, *, grad: bool = False) -> list[Tensor]:
    """Make queries of 4 heads over keys and values of 2, each of 32."""
    torch.manual_seed(0)
    shapes = [(1, num, CU_SEQLENS[-1], 32) for num in (4, 2, 2)]
    return [torch.randn(shape, device=device, dtype=dtype, requires_grad=grad) for shape in shapes]


def attend(tensors: list[Tensor]) -> Tensor:
    query, key, value = tensors
    return attention.segments(
        torch.nn.Module(), query, key, value, None, cu_seqlens=CU_SEQLENS, scaling=0.1
    )[0]


class Calls(TorchDispatchMode):
    """Collects the arguments of each call of the kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.arguments: list[tuple[Any, ...]] = []
        self.copies = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is KERNEL:
            self.arguments.append(args)
        copied = func is torch.ops.aten._to_copy.default
        self.copies += copied and args[0].dtype == torch.int32
        return func(*args, **(kwargs or {}))


@pytest.fixture
def fresh() -> Any:
    """Let no boundary of another test be found, nor this one's by others."""
    attention._on_device.cache_clear()
    yield
    attention._on_device.cache_clear()


@pytest.mark.usefixtures("fresh")
def test_cuda_gets_one_causal_call_a_layer_and_one_copy_a_row() -> None:
    """Shapes and types alone: torch's own check of the call, without a device."""
    with torch.no_grad(), FakeTensorMode(), Calls() as calls:
        first = attend(heads("cuda", torch.bfloat16))
        query, key, value = heads("cuda", torch.bfloat16)
        second = attend([query.float(), key.float(), value])  # as rotation leaves them in autocast
    assert first.shape == second.shape == (1, 11, 4, 32)
    assert first.device.type == "cuda" and first.dtype == torch.bfloat16
    assert len(calls.arguments) == 2 and calls.copies == 1
    query, key, _, ends, _, longest, _, is_causal, scale, window, grouped = calls.arguments[1][:11]
    assert query.shape == (11, 4, 32) and key.shape == (11, 2, 32)
    assert query.dtype == key.dtype == torch.bfloat16
    assert ends.dtype == torch.int32 and ends.shape == (4,) and longest == 7
    assert (is_causal, scale, list(window), grouped) == (True, 0.1, [-1, 0], True)


@pytest.mark.usefixtures("fresh")
def test_fp32_on_cuda_takes_the_way_of_the_cpu() -> None:
    with torch.no_grad(), FakeTensorMode(), Calls() as calls:
        assert attend(heads("cuda", torch.float32)).shape == (1, 11, 4, 32)
    assert not calls.arguments


def test_gradients_pass_the_kernel_in_shape() -> None:
    tensors = heads("meta", torch.bfloat16, grad=True)
    attention._in_one_call((tensors[0], tensors[1], tensors[2]), CU_SEQLENS, None).sum().backward()
    assert [t.grad.shape for t in tensors if t.grad is not None] == [t.shape for t in tensors]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_device_values_and_gradients_are_those_of_the_cpu() -> None:
    ours, theirs = heads("cpu", torch.float32), heads("cpu", torch.float32)
    leaves = [t.to("cuda", torch.bfloat16).requires_grad_() for t in ours]
    wanted = [t.requires_grad_() for t in theirs]
    one, other = attend(leaves), attend(wanted)
    assert torch.allclose(one.float().cpu(), other, atol=2e-2)
    weights = torch.randn_like(other)
    (one * weights.to(one)).sum().backward()
    (other * weights).sum().backward()
    for leaf, plain in zip(leaves, wanted, strict=True):
        assert leaf.grad is not None and plain.grad is not None
        assert torch.allclose(leaf.grad.float().cpu(), plain.grad, atol=5e-2)
