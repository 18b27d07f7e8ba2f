"""The entry of ``mpi-track``: its commands in the order of the work, and the one place that shows an error."""

import sys
import traceback

import typer

from napari_mpi_track import __version__
from napari_mpi_track.cli import (
    alignment,
    anatomy,
    curves,
    deidentify,
    dynamic,
    evidence,
    organs,
    point_spread,
    readers,
    reading,
    receiver,
    scans,
    segmentation,
    signal,
    studies,
    tubes,
)
from napari_mpi_track.errors import AlignmentRefusedError, MpiTrackError

# Typer carries its own copy of click; its exceptions are reached by the one it shows.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="mpi-track",
    help="Follow labelled cells by magnetic particle imaging: from scans to apparent cells per organ per day.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mpi-track {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    version: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show the version and stop."
    ),
    debug: bool = typer.Option(False, "--debug", help="Show the whole traceback of an error."),
) -> None:
    """Follow labelled cells by magnetic particle imaging: from scans to apparent cells per organ per day."""
    del version, debug


for _command in (
    scans.info,
    scans.convert,
    alignment.align,
    evidence.check,
    alignment.chain,
    alignment.apply,
    scans.project,
    segmentation.segment,
    anatomy.remove_bed,
    anatomy.segment_seeds,
    anatomy.carry_atlas,
    anatomy.split_animals,
    anatomy.take_animal,
    receiver.calibrate_receiver,
    tubes.measure_tubes,
    point_spread.measure_psf,
    signal.calibrate,
    curves.compare_curves,
    curves.compare_dilutions,
    signal.count,
    organs.quantify,
    dynamic.measure_dynamic,
    readers.compare_readers,
    reading.blind,
    reading.sign_reading,
    reading.unblind,
    organs.fit,
    studies.init,
    studies.run,
    studies.sample,
    studies.open_,
    deidentify.deidentify,
):
    app.command(
        name=_command.__name__.rstrip("_").replace("_", "-"),
        context_settings={"ignore_unknown_options": _command is signal.count},
    )(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 the input or the call is at fault, 3 done in part or refused."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    is_debug = "--debug" in given
    given = [word for word in given if word != "--debug"]
    try:
        status = typer.main.get_command(app).main(given, prog_name="mpi-track", standalone_mode=False)
    except BrokenPipeError:
        # The reader (head, less) has seen enough.
        sys.stderr.close()
        sys.exit(0)
    except _UsageError as error:
        _fail(_wording(error), 2, is_debug)
    except AlignmentRefusedError as error:
        _fail(str(error), 3, is_debug)
    except MpiTrackError as error:
        _fail(str(error), 2, is_debug)
    except OSError as error:
        # What readers and writers foresee is an MpiTrackError; this is a full disk, a folder without rights ...
        reason = error.strerror or type(error).__name__
        place = "" if error.filename is None else f" ({error.filename})"
        _fail(f"a file or folder could not be used: {reason}{place}: check its place and your rights", 2, is_debug)
    except (KeyboardInterrupt, typer.Abort):
        _fail("stopped by the user", 130, is_debug)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        _fail(
            f"mpi-track did not foresee this ({said}): run it again with --debug and report what it shows", 1, is_debug
        )
    sys.exit(status if isinstance(status, int) else 0)


def _wording(error: Exception) -> str:
    message = " ".join(str(getattr(error, "format_message", lambda: error)()).split())
    command = getattr(getattr(error, "ctx", None), "command_path", None) or "mpi-track"
    return f"{message.rstrip('.')}: see {command} --help"


def _fail(text: str, status: int, is_debug: bool) -> None:
    if is_debug:
        traceback.print_exc()
    line = " ".join(text.split("\n"))
    print(f"error: {line}", file=sys.stderr)
    sys.exit(status)
