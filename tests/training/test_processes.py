"""Laws of several processes, each held in two real ones on the CPU, which this file is the program of."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from aqa_cache.errors import AqaError, SaidElsewhere, VideoError
from aqa_heads.errors import TrainingError
from aqa_heads.training import processes as module
from aqa_heads.training.processes import Processes

CPU = torch.device("cpu")
PROGRAM = [sys.executable, "-W", "error", __file__]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
ENVIRONMENT = {
    "RANK": "0",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "0",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "localhost",
    "MASTER_PORT": "2",
}


def environment(**variables):
    return {name: value for name, value in os.environ.items() if name not in ENVIRONMENT} | variables


def test_what_two_processes_of_torchrun_exchange():
    done = subprocess.run(
        [*TORCHRUN, "2", __file__, "exchange"], env=environment(), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(done.stdout.split()) == ["0", "1"]


@pytest.mark.parametrize("what", ["lose_one", "wrong_devices"])
def test_a_process_that_fails_leaves_none_waiting(what):
    from local_stores import local_s3  # not found by the program

    ports = [str(port) for port in local_s3.free_ports(3)]
    variables = ENVIRONMENT | {"MASTER_PORT": ports[0]}
    started = [
        subprocess.Popen(
            [*PROGRAM, what, *ports],
            env=environment(**variables | {"RANK": rank, "LOCAL_RANK": rank}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    try:
        said = [process.communicate(timeout=600) for process in started]
    finally:
        for process in started:
            process.kill()
    assert [process.returncode for process in started] == [0, 0], said


def test_one_process_is_alone_and_nothing_is_connected():
    rows, parameters = torch.rand(3, 2, requires_grad=True), list(nn.Linear(2, 1).parameters())
    with Processes.from_environment(CPU, {}) as processes:
        assert not torch.distributed.is_initialized()
        assert (processes.rank, processes.count, processes.main) == (0, 1, True)
        assert processes.share([1, 2, 3]) == [1, 2, 3]
        assert processes.gather("a") == ["a"] and processes.tell("a") == "a"
        (gathered,) = processes.gather_rows(rows, [3])
        assert torch.equal(gathered, rows) and not gathered.requires_grad
        processes.sum_gradients(parameters)
        assert [parameter.grad for parameter in parameters] == [None, None]
        with pytest.raises(VideoError, match=r"^a.mp4: is gone$"), processes.agree():
            raise VideoError("a.mp4", "is gone")
        with pytest.raises(ZeroDivisionError), processes.agree():
            raise ZeroDivisionError
        assert processes.gather("in step") == ["in step"]
        with pytest.raises(AssertionError, match="inside agree"), processes.agree():
            processes.gather("would wait for a process that has failed")


def test_one_process_of_torchrun_is_alone_too():
    assert (
        Processes.from_environment(CPU, ENVIRONMENT | {"WORLD_SIZE": "1", "LOCAL_WORLD_SIZE": "1"}).count == 1
    )


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_are_everything_once(count):
    shares = [Processes(CPU, rank, count).share("abcde") for rank in range(count)]
    assert sorted(sum(shares, [])) == list("abcde")
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"RANK": "first"}, "RANK=first"),
        ({"RANK": "2"}, "RANK=2, WORLD_SIZE=2"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE="),
        ({"LOCAL_RANK": "-1"}, "LOCAL_RANK=-1"),
        ({"LOCAL_RANK": "3"}, "LOCAL_RANK=3, LOCAL_WORLD_SIZE=2"),
        ({"MASTER_PORT": "http"}, "MASTER_PORT=http"),
        ({"MASTER_ADDR": ""}, "MASTER_ADDR="),
    ],
)
def test_a_wrong_environment_is_one_message(changed, said):
    with pytest.raises(TrainingError, match=rf"^the environment says {said}, expected what torchrun sets"):
        Processes.from_environment(CPU, ENVIRONMENT | changed)


def test_a_rank_alone_is_no_environment():
    with pytest.raises(TrainingError, match="WORLD_SIZE=, LOCAL_RANK=, MASTER_PORT=, .*MASTER_ADDR="):
        Processes.from_environment(CPU, {"RANK": "0"})


# What follows runs in each of the two processes.


def exchange():
    with Processes.from_environment(CPU) as processes:
        assert processes.count == 2 and processes.main == (processes.rank == 0)
        assert processes.gather((processes.rank, None)) == [(0, None), (1, None)]
        assert processes.tell(f"from {processes.rank}") == "from 0"
        assert processes.gather(processes.share(range(5))) == [[0, 2, 4], [1, 3]]
        assert processes.gather(processes.share("a")) == [["a"], []]
        rows_arrive_as_they_are(processes)
        gradients_are_the_sum_by_hand(processes)
        the_sum_is_the_gradient_of_all_samples(processes)
        modules_become_equal(processes)
        an_error_is_everyones(processes)
        assert processes.gather("in step") == ["in step"] * 2
    assert not torch.distributed.is_initialized()
    os.write(1, b"%d\n" % processes.rank)


def rows_arrive_as_they_are(processes):
    everything = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    for counts in ([3, 2], [1, 4], [0, 5], [2, 0], [0, 0]):
        for dtype in (torch.float32, torch.float64):
            expected = everything.to(dtype)[: sum(counts)].split(counts)
            mine = expected[processes.rank].clone().requires_grad_()
            gathered = processes.gather_rows(mine, counts)
            assert len(gathered) == 2 and not any(rows.requires_grad for rows in gathered)
            for rows, of_rank in zip(gathered, expected, strict=True):
                assert rows.dtype == dtype and torch.equal(rows, of_rank)


def gradients_are_the_sum_by_hand(processes):
    both, second, none, frozen, laid_out = (
        nn.Parameter(torch.zeros(shape)) for shape in (3, (2, 2), 4, 2, (2, 2, 1, 2, 2))
    )
    frozen.requires_grad = False
    factor = 1 + 9 * processes.rank
    both.grad = factor * torch.tensor([1.0, 2.0, 3.0])
    numbers = torch.arange(16.0).view(laid_out.shape)
    # The same values, in another order in memory.
    laid_out.grad = numbers.to(memory_format=torch.channels_last_3d) if processes.rank else numbers.clone()
    if processes.rank:
        second.grad = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    processes.sum_gradients(iter([both, second, none, frozen, laid_out]))
    assert both.grad.tolist() == [11, 22, 33]
    assert second.grad.tolist() == [[1, 2], [3, 4]]
    assert none.grad is None and frozen.grad is None
    assert torch.equal(laid_out.grad, 2 * numbers)


def the_sum_is_the_gradient_of_all_samples(processes, samples=5):
    generator = torch.Generator().manual_seed(1)
    weight = nn.Parameter(torch.rand(40, 30, generator=generator, dtype=torch.float64))
    bias = nn.Parameter(torch.rand(40, generator=generator, dtype=torch.float64))
    inputs = torch.rand(samples, 30, generator=generator, dtype=torch.float64)
    true = torch.rand(samples, generator=generator, dtype=torch.float64)

    def loss(rows):
        return (
            nn.functional.linear(inputs[rows], weight, bias).tanh().sum(1) - true[rows]
        ).square().sum() / samples

    whole = torch.autograd.grad(loss(list(range(samples))), (weight, bias))
    loss(processes.share(range(samples))).backward()
    for size in (2**24, 100):  # one bucket, and one for each of them
        module._BUCKET, kept = size, module._BUCKET
        parts = [nn.Parameter(parameter.detach()) for parameter in (weight, bias)]
        for part, parameter in zip(parts, (weight, bias), strict=True):
            part.grad = parameter.grad.clone()
        processes.sum_gradients(parts)
        module._BUCKET = kept
        for part, expected in zip(parts, whole, strict=True):
            assert torch.allclose(part.grad, expected, rtol=1e-12, atol=0)
            first, other = processes.gather(part.grad.numpy().tobytes())
            assert first == other


def modules_become_equal(processes):
    torch.manual_seed(processes.rank)
    network, other = nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4)), nn.GRU(3, 4, 2)
    if processes.rank:
        network.to(memory_format=torch.channels_last_3d)
    network[0].weight.requires_grad = False
    network(torch.rand(1 + processes.rank, 3, 4, 4, 4))
    network.register_buffer("which", torch.rand(5) > 0.5, persistent=False)
    network.register_buffer("scale", torch.rand((), dtype=torch.float64))
    network.register_buffer("empty", torch.empty(0))

    def values():
        tensors = [*network.parameters(), *network.buffers(), *other.parameters()]
        return [tensor.detach().contiguous().numpy().tobytes() for tensor in tensors]

    before = processes.gather(values())
    assert before[0] != before[1]
    processes.equalise(network, other)
    assert processes.gather(values()) == [before[0]] * 2
    assert not network[0].weight.requires_grad and network[0].bias.requires_grad


def an_error_is_everyones(processes):
    mine = processes.rank
    for errors, message in (
        ([None, VideoError("a.mp4", "is gone")], "a.mp4: is gone"),
        ([VideoError("a.mp4", "is gone"), None], "a.mp4: is gone"),
        ([TrainingError("same"), TrainingError("same")], "same"),
        ([TrainingError("takes 3.1 days"), TrainingError("takes 3.2 days")], "takes 3.1 days"),
    ):
        raised = None
        try:
            with processes.agree():
                if errors[mine] is not None:
                    raise errors[mine]
        except AqaError as error:
            raised = error
        assert str(raised) == message
        assert isinstance(raised, SaidElsewhere) == (mine == 1)
        if mine == 0 and errors[0] is not None:
            assert raised is errors[0]
    with processes.agree():
        done = True
    assert done
    try:
        with processes.agree():
            processes.gather("would wait for a process that has failed")
    except AssertionError as error:
        assert "inside agree" in str(error)
    else:
        raise AssertionError("exchanged inside agree()")


def lose_one():
    try:
        with Processes.from_environment(CPU) as processes:
            processes.gather("both are there")
            if processes.rank:
                raise ZeroDivisionError
            processes.gather("nobody answers")
    except ZeroDivisionError:
        assert processes.rank == 1
    except TrainingError as error:
        assert processes.rank == 0
        assert str(error).startswith("process 0 of 2 has lost the others: one of them has ended")
    else:
        raise AssertionError("nothing was raised")


def wrong_devices():
    """Devices are looked at before any is used, so that there need not be one."""
    rank = int(os.environ["RANK"])
    cases = (
        (1, torch.device("cuda", 0), "2 processes were started on a machine with 1 GPU"),
        (2, torch.device("cuda", 1), "device is cuda:1, but 2 processes run on this machine"),
        (2, torch.device("cuda" if rank else "cpu"), "some of the processes have a GPU and others have none"),
    )
    # One who connects late could meet those who are leaving.
    for port, (gpus, device, said) in zip(sys.argv[2:], cases, strict=True):
        os.environ["MASTER_PORT"] = port
        torch.cuda.device_count = lambda gpus=gpus: gpus
        try:
            with Processes.from_environment(device):
                raise AssertionError("nothing was raised")
        except AqaError as error:
            assert str(error).startswith(said), error
            assert isinstance(error, SaidElsewhere) == (rank == 1)
        assert not torch.distributed.is_initialized()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
