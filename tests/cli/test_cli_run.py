"""
`conductor run`, as a process of its own: what it does, what it says, how it ends.
"""

import json
import signal
import subprocess

import pytest

from tests.cli.conftest import CommandLine, finish, wait_for


def stop(process: subprocess.Popen[str], *, text: str = "ready:", number: int = signal.SIGTERM) -> tuple[str, str]:
    """
    Wait until a process has written a text, send it a signal, and wait for its end.

    Returns:
        Its standard output, and all of its standard error.
    """
    written = wait_for(process, text)
    process.send_signal(number)
    output, errors = finish(process)
    return output, written + errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_by_a_signal_is_clean(app: CommandLine, number: int) -> None:
    """
    A signal leads to an orderly shutdown and exit code 0.
    """
    process = app.start("run", "steady")
    output, errors = stop(process, number=number)

    assert process.returncode == 0, errors
    assert output == ""
    assert "shut down\n" in errors
    assert errors.splitlines()[-1].endswith(f"received {signal.Signals(number).name} (exit code 0)")


def test_report_is_one_line_of_json(app: CommandLine) -> None:
    """
    With `--json`, standard output has one line: what happened to each component.
    """
    process = app.start("run", "steady", "--json")
    output, _ = stop(process)

    assert output.count("\n") == 1
    report = json.loads(output)
    assert (report["reason"], report["exit_code"]) == ("received SIGTERM", 0)
    assert [(one["component"], one["state"]) for one in report["components"]] == [("steady", "down")]


def test_failed_setup_ends_with_4(app: CommandLine) -> None:
    """
    A set-up that fails is undone; the log has the sentence and the traceback, without password and controls.
    """
    result = app.process("run", "failing", "--json")

    assert result.returncode == 4
    assert "component 'failing' (acme-parts 1.0) failed in set-up: RuntimeError" in result.stderr
    assert "in setup" in result.stderr
    assert "sesame" not in result.stderr
    assert "\x1b" not in result.stderr
    assert "shut down\n" in result.stderr
    assert json.loads(result.stdout)["exit_code"] == 4


def test_crash_ends_with_1(app: CommandLine) -> None:
    """
    A component that crashes stops the application in order, with exit code 1.
    """
    result = app.process("run", "crashing", "steady")

    assert result.returncode == 1
    assert "component 'crashing' crashed" in result.stderr
    assert "shut down\n" in result.stderr


def test_unclean_shutdown_ends_with_5(app: CommandLine) -> None:
    """
    A shutdown that fails is exit code 5.
    """
    process = app.start("run", "unclean")
    _, errors = stop(process)

    assert process.returncode == 5
    assert "RuntimeError: unclean" in errors


def test_invalid_plan_ends_with_3(app: CommandLine) -> None:
    """
    Nothing runs if the plan is not valid; with `--json` the problems are in the report.
    """
    result = app.process("run", "nowhere", "--json")

    assert result.returncode == 3
    assert result.stderr.startswith("error: there is no component 'nowhere'")
    report = json.loads(result.stdout)
    assert (report["exit_code"], report["problems"][0]["kind"]) == (3, "UnknownComponentError")


def test_wrong_setting_ends_with_2(app: CommandLine) -> None:
    """
    A setting that does not exist is exit code 2, with the nearest one.
    """
    result = app.process("run", "steady", "--set", "steady.greting=hi")

    assert result.returncode == 2
    assert "hint: did you mean 'greeting'?" in result.stderr


def test_second_signal_ends_with_128_and_its_number(app: CommandLine) -> None:
    """
    A second signal cuts a slow shutdown short; what did not stop is named.
    """
    process = app.start("run", "slow")
    written = wait_for(process, "ready:")
    process.send_signal(signal.SIGTERM)
    written += wait_for(process, "slow begins")
    process.send_signal(signal.SIGINT)
    written += finish(process)[1]

    assert process.returncode == 128 + signal.SIGINT
    assert "'slow'" in written


def test_thread_that_does_not_end_is_named_and_left(app: CommandLine) -> None:
    """
    A thread that goes on after the shutdown cannot hold the process, and does not end it with 0.
    """
    process = app.start("run", "stuck", "--set", "limits.stop=1")
    _, errors = stop(process)

    assert process.returncode == 5
    assert errors.splitlines()[-1] == "error: still running: 'stuck thread'; left without waiting any longer"


def test_thread_that_does_not_end_keeps_a_worse_exit_code(app: CommandLine) -> None:
    """
    If the application failed, its own exit code stays.
    """
    result = app.process("run", "stuck", "failing", "--set", "limits.stop=1")

    assert result.returncode == 4
    assert "'stuck thread'" in result.stderr


def test_idle_executor_is_no_failure(app: CommandLine) -> None:
    """
    Threads that Python itself ends at the exit, as those of an executor, are not complained about.
    """
    process = app.start("run", "pooled")
    _, errors = stop(process)

    assert process.returncode == 0
    assert "still running" not in errors


def test_secrets_never_reach_the_log(app: CommandLine) -> None:
    """
    A component that logs its own secret finds it masked.
    """
    process = app.start("run", "steady", env={"CONDUCTOR_STEADY__TOKEN": "correct-horse"})
    _, errors = stop(process)

    assert "hello, the token is *******" in errors
    assert "correct-horse" not in errors


VAULT = """
    from conductor import Component, Secret, setting

    class Vault(Component):
        door: Secret[str] = Secret("declared-secret")
        key: Secret[str] = setting(factory=lambda: Secret("made-secret"))
        code: Secret[str] = setting(converter=lambda code: Secret(code[::-1]))

        async def setup(self):
            self.logger.info("the door is %s", self.door.get_secret_value())
            raise RuntimeError([one.get_secret_value() for one in (self.door, self.key, self.code)])
"""


def test_secrets_that_the_class_makes_never_come_out(app: CommandLine) -> None:
    """
    A secret that is a default, or what a factory or converter made, is masked in log, traceback and report.
    """
    app.site.add(
        "acme-vault", entry_points={"conductor.components": {"vault": "vault:Vault"}}, modules={"vault": VAULT}
    )

    result = app.process("run", "vault", "--json", env={"CONDUCTOR_VAULT__CODE": "terces-nevig"})

    assert result.returncode == 4
    assert "the door is *******" in result.stderr
    assert "RuntimeError: ['*******', '*******', '*******']" in result.stderr
    said = result.stdout + result.stderr.replace('Secret("declared-secret")', "").replace('Secret("made-secret")', "")
    assert not any(secret in said for secret in ("declared-secret", "made-secret", "given-secret", "terces-nevig"))


MUTE = """
    import logging, logging.config
    from conductor import Component

    class Disabling(Component):
        async def setup(self):
            logging.disable(logging.CRITICAL)
            raise RuntimeError("no way to postgres://me:sesame@host/db")

    class Configuring(Component):
        async def setup(self):
            logging.config.dictConfig({"version": 1, "root": {"handlers": []}})
            raise RuntimeError("no way to postgres://me:sesame@host/db")
"""


@pytest.mark.parametrize("name", ["disabling", "configuring"])
def test_failure_is_told_without_a_log(app: CommandLine, name: str) -> None:
    """
    A component that turns logging off, or configures it anew, does not keep its failure from being told.
    """
    entries = {"conductor.components": {name: f"mute:{name.capitalize()}"}}
    app.site.add("acme-mute", entry_points=entries, modules={"mute": MUTE})

    result = app.process("run", name)

    assert result.returncode == 4
    assert f"error: component '{name}' (acme-mute 1.0) failed in set-up: RuntimeError: no way to" in result.stderr
    assert "set-up failed (exit code 4)" in result.stderr
    assert "sesame" not in result.stderr


def test_log_lines_cannot_be_forged(app: CommandLine) -> None:
    """
    A line feed in what is logged begins no line of its own, and no control character gets through.
    """
    process = app.start("run", "steady", env={"CONDUCTOR_STEADY__GREETING": "a\nfake error\x1b[31m"})
    _, errors = stop(process)

    assert "\n  fake error\\x1b[31m" in errors


def test_log_level(app: CommandLine) -> None:
    """
    `--log-level error` leaves nothing but what went wrong.
    """
    errors = app.process("run", "crashing", "--log-level", "error").stderr

    assert " info " not in errors
    assert " error " in errors
