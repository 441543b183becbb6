"""What SIGTERM and SIGINT do, before training, in it, and to whoever called."""

import contextlib
import importlib.util
import os
import signal
import threading

import pytest

from hfft import run
from hfft.runs import signals
from hfft.runs.signals import Stopped

BOTH = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "status"), BOTH)
def test_outside_training_a_signal_ends_the_command_at_once(number, status, capsys):
    def command():
        with signals.handled():
            send(number)
            pytest.fail("not reached")

    assert run.guarded(command) == status
    assert capsys.readouterr().err == f"stopped by {number.name}; the same command continues the run\n"


@pytest.mark.parametrize(("number", "status"), BOTH)
def test_in_training_a_signal_asks_and_the_end_tells(number, status):
    with signals.handled():
        with pytest.raises(Stopped) as stopped, signals.deferred():  # noqa: PT012
            assert signals.requested() == 0
            send(number)
            assert signals.requested() == number
        assert stopped.value.exit_code == status
    assert signals.requested() == 0, "the next command begins anew"


def test_a_process_that_was_never_signalled_is_not_asked_to_stop():
    fresh = importlib.util.module_from_spec(importlib.util.find_spec(signals.__name__))
    fresh.__spec__.loader.exec_module(fresh)
    assert fresh.requested() == 0
    with fresh.deferred():
        assert fresh.requested() == 0


def test_an_answer_that_was_swallowed_is_given_again():
    with signals.handled():
        with contextlib.suppress(Stopped):
            send(signal.SIGTERM)
        with pytest.raises(Stopped), signals.deferred():
            pytest.fail("not reached")


def test_a_second_signal_ends_at_once_and_one_passed_on_does_not(monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    with signals.handled(), pytest.raises(Stopped), signals.deferred():  # noqa: PT012
        send(signal.SIGINT)
        send(signal.SIGTERM)  # the launcher passes on what the terminal has sent already
        assert ended == []
        monkeypatch.setattr(signals, "FORWARDED", 0.0)
        send(signal.SIGTERM)
        assert ended == [143]


def test_the_handlers_before_come_back():
    mine = signal.signal(signal.SIGTERM, lambda *_: None), signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        with signals.handled():
            assert signal.getsignal(signal.SIGTERM) is not before[0]
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    finally:
        signal.signal(signal.SIGTERM, mine[0])
        signal.signal(signal.SIGINT, mine[1])


def test_another_thread_installs_none():
    before, during = signal.getsignal(signal.SIGTERM), []

    def other():
        with signals.handled():
            during.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert during == [before]


def test_a_forked_worker_dies_of_sigterm_as_if_it_had_no_handler():
    with signals.handled(), pytest.raises(Stopped), signals.deferred():  # noqa: PT012
        child = os.fork()
        if child == 0:
            send(signal.SIGINT)  # of the terminal, to the whole group: the parent deals with it
            send(signal.SIGTERM)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        assert signals.requested() == 0
        send(signal.SIGTERM)
