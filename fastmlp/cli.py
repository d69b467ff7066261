"""The command ``fastmlp``: train and sweep from a shell.

Wrong use ends with status 2 and one line on standard error, Ctrl-C with 130, anything else that fails with 1.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TextIO

from .engine import MOST_THREADS

__all__ = ["main"]

_DATA = """the name of a data set (digits, breast_cancer, wine, iris, diabetes, moons, circles, xor, spirals), or a .csv,
.tsv, .csv.gz, .parquet or .npz file. Files, and data sets whose columns differ in scale, are standardized by their training
rows; so is the target of a regression"""

_MAIN = """examples:
  fastmlp train digits --hidden 64,64 --epochs 30
  fastmlp train houses.csv --target price --save houses.safetensors
  fastmlp sweep digits --width 8,16,32,64 --depth 1,2,3 --seeds 3 --plot sweep.png
  fastmlp info
"""

_TRAIN = """examples:
  fastmlp train digits
  fastmlp train moons --hidden 16,16 --activation tanh --lr 0.01 --plot curves.png
  fastmlp train houses.csv --target price --drop id,street --save net.safetensors

Defaults are in brackets. A saved network takes the columns as they are in the file,
but for those dropped, and answers in the target's unit: the scaling of the training
is in its weights.
"""

_SWEEP = """examples:
  fastmlp sweep digits
  fastmlp sweep digits --width 8,16,32,64 --depth 1,2,3 --seeds 8 --lr 1e-3,1e-2
  fastmlp sweep digits --width 8:256 --lr 1e-4:1e-1 --trials 99 --halving 3
  fastmlp sweep moons --width 4,16 --csv rows.csv --plot sweep.png
  fastmlp sweep digits --seeds 8 --store digits-sweep --keep-best 3
  fastmlp sweep houses.csv --target price --width 16,64 --depth 1,2 --metric rmse

Defaults are in brackets. Each line of the table is the mean over the seeds. Losses
and metrics are those of the rows held back; for a regression they are those of the
standardized target. With --trials, A:B draws values from A to B on a
logarithmic scale. With --store, the same command goes on where the last one was
interrupted.
"""


# Settings of the optimizer, for both commands that train.
_PENALTIES = {
    "weight-decay": "decoupled weight decay (the optimizer's own: 0, or 0.01 for adamw)",
    "l2": "L2 penalty on the weights (0)",
}


# What messages advise that no option does -> what stands there instead.
_FOR_PROGRAMS = {
    r", or an instance such as fm\.Adam\(1e-3\)": "",
    r", or a fm\.metrics\.Metric": "",
    r", or say output='softmax' or 'sigmoid'": "",
    r"Use output='\w+' for the last layer, and for hidden ones one of": "Use one of",
    r", clip_norm=1\.0,": ",",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process if not given.
    """
    command = "fastmlp"
    try:
        # A terminal or a pipe that cannot show a letter shows a question mark.
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        args, unknown = _parser().parse_known_args(argv)
        if unknown:
            args.parser.refuse(unknown[0])
        command = args.parser.prog
        status = _run(args, command)
    except SystemExit as end:  # argparse's: 0 after --help, 2 after its line on wrong use
        status = int(end.code or 0)
    except KeyboardInterrupt:
        status = _say(command, "interrupted", 130)
    return _flush(command, status)


def _run(args: argparse.Namespace, command: str) -> int:
    """Do the command; what it raises becomes one line and a status."""
    from . import commands
    from .errors import DivergenceError

    try:
        getattr(commands, args.command)(args)
    except BrokenPipeError:  # whoever read the output has gone
        return 1
    except commands.Interrupted as end:
        return _say(command, str(end), 130)
    except (commands.Failed, DivergenceError, ImportError, MemoryError) as error:
        return _say(command, str(error) or type(error).__name__, 1)
    except FileNotFoundError as error:
        return _say(command, str(error), 2)
    except OSError as error:
        return _say(command, str(error), 1)
    except (commands.UsageError, ValueError, TypeError) as error:
        return _say(command, str(error), 2)
    return 0


def _flush(command: str, status: int) -> int:
    """Write out what was printed and return the status, 1 if it was 0 and that failed."""
    try:
        print(end="", flush=True)  # also where there is no sys.stdout
    except OSError as error:
        _give_up(sys.stdout)
        if status == 0 and not isinstance(error, BrokenPipeError):
            _say(command, str(error), 1)
        return status or 1
    return status


def _say(command: str, message: str, status: int) -> int:
    """Print one line to standard error and return the status."""
    for pattern, words in _FOR_PROGRAMS.items():
        message = re.sub(pattern, words, message)
    if sys.stderr is not None:  # to None, print would write to standard output
        try:
            print(f"{command}: {' '.join(message.split())}", file=sys.stderr, flush=True)
        except OSError:
            _give_up(sys.stderr)
    return status


def _give_up(stream: TextIO) -> None:
    """Point a stream elsewhere, else Python tries and complains again when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class _Parser(argparse.ArgumentParser):
    """An argument parser that says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """End with one line and status 2."""
        wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        near = difflib.get_close_matches(wrong[1], re.findall(r"[\w-]+", wrong[2]), 1) if wrong else []
        if near:
            message += f"; did you mean {near[0]}?"
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def refuse(self, argument: str) -> NoReturn:
        """End because of an argument that there is not, with the nearest that there are."""
        known = re.findall(r"--[a-z-]+", self.format_usage())
        near = difflib.get_close_matches(argument.partition("=")[0], known, n=1, cutoff=0.6)
        self.error(f"there is no {argument!r} here" + (f"; did you mean {near[0]}?" if near else ""))


def _parser() -> _Parser:
    from . import __version__

    parser = _Parser(
        prog="fastmlp",
        description="Train multilayer perceptrons fast, on this computer's CPU.",
        epilog=_MAIN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fastmlp {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _train(_command(commands, "train", "train one network", _TRAIN))
    _sweep(_command(commands, "sweep", "train a grid of widths, depths and seeds", _SWEEP))
    _machine(_command(commands, "info", "show CPU, engine, cache and versions"))
    warmup = _command(commands, "warmup", "compile the kernels now")
    warmup.add_argument("--special", action="store_true", help="also those of embeddings and parametric layers")
    _machine(warmup)
    return parser


def _command(commands: Any, name: str, words: str, epilog: str | None = None) -> _Parser:
    """Add a command."""
    parser = commands.add_parser(
        name,
        help=words,
        description=f"{words[0].upper()}{words[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(parser=parser)
    return parser


def _train(parser: _Parser) -> None:
    _data(parser)
    parser.add_argument(
        "--hidden", type=_widths, default=(64,), metavar="W,...", help="units of each hidden layer, or 'none' (64)"
    )
    parser.add_argument("--activation", default="relu", metavar="NAME", help="activation of the hidden layers (relu)")
    parser.add_argument("--lr", type=_rate, metavar="RATE", help="learning rate (the optimizer's own: 1e-3 for adam)")
    parser.add_argument("--dropout", type=_share(0.0), default=0.0, metavar="P", help="dropout of the hidden layers (0)")
    for name, words in _PENALTIES.items():
        parser.add_argument(f"--{name}", type=_penalty, metavar="X", help=words)
    parser.add_argument("--seed", type=_whole(0), default=0, metavar="N", help="seed of initial weights and shuffles (0)")
    _training(parser)
    parser.add_argument("--save", metavar="FILE", help="write the network to a file, such as model.safetensors")
    parser.add_argument("--plot", metavar="FILE", help="draw the loss curves to a file, such as curves.png")
    _machine(parser)


def _sweep(parser: _Parser) -> None:
    _data(parser)
    parser.add_argument(
        "--width", type=_values(_whole(1)), default=(8, 16, 32, 64), metavar="W,...",
        help="units of each hidden layer, to try in turn (8,16,32,64)",
    )  # fmt: skip
    parser.add_argument(
        "--depth", type=_values(_whole(0)), default=(1, 2, 3), metavar="D,...", help="numbers of hidden layers to try (1,2,3)"
    )
    parser.add_argument(
        "--seeds", type=_whole(1), default=1, metavar="N", help="networks for each setting, of the seeds 0, 1, ... (1)"
    )
    parser.add_argument(
        "--lr", type=_values(_rate), metavar="RATE,...", help="learning rates (the optimizer's own: 1e-3 for adam)"
    )
    parser.add_argument(
        "--activation", type=_list(str), default=("relu",), metavar="NAME,...", help="activations of the hidden layers (relu)"
    )
    parser.add_argument("--dropout", type=_values(_share(0.0)), metavar="P,...", help="dropouts of the hidden layers (0)")
    for name, words in _PENALTIES.items():
        parser.add_argument(f"--{name}", type=_values(_penalty), metavar="X,...", help=words)
    parser.add_argument("--trials", type=_whole(1), metavar="N", help="draw N settings instead of trying all combinations")
    parser.add_argument(
        "--halving", type=_whole(2), metavar="F",
        help="train all settings for a few epochs, the best one in F for F times as many, and so on",
    )  # fmt: skip
    parser.add_argument(
        "--min-epochs", type=_whole(1), default=1, metavar="N", help="with --halving, the least epochs of the first round (1)"
    )
    parser.add_argument("--cv", type=_whole(2), metavar="K", help="cross-validation with K folds, instead of --validation")
    parser.add_argument(
        "--metric", metavar="NAME", help="what networks are compared by, such as loss (accuracy, or r2 for a regression)"
    )
    parser.add_argument(
        "--jobs", type=_whole(1), metavar="N", help="groups of networks to train at a time (one for each thread)"
    )
    _training(parser, several=True)
    parser.add_argument("--store", metavar="DIR", help="folder in which finished networks are written down, to go on from")
    parser.add_argument(
        "--keep-best", type=_whole(0), default=0, metavar="N",
        help="keep the N best networks in the store, as best-N.safetensors, which take the columns as they are (those in "
        "networks/ take standardized ones) (0)",
    )  # fmt: skip
    parser.add_argument("--top", type=_whole(1), metavar="N", help="show only the N best lines of the table")
    parser.add_argument("--csv", metavar="FILE", help="write a CSV file with a line for each network")
    parser.add_argument("--parquet", metavar="FILE", help="write the same as a Parquet file")
    parser.add_argument(
        "--plot", metavar="FILE", help="draw heat maps, loss curves, sizes and learning rates to a file, such as sweep.png"
    )
    _machine(parser)


def _data(parser: _Parser) -> None:
    """Add what says where rows come from."""
    parser.add_argument("data", metavar="DATA", help=_DATA)
    parser.add_argument("--target", metavar="COLUMN", help="the column of a file to predict (y for .npz)")
    parser.add_argument(
        "--drop", type=_list(str), default=(), metavar="COLUMN,...", help="columns of a file to leave out, such as row numbers"
    )
    parser.add_argument(
        "--decimal", choices=(".", ","), default=".", metavar="MARK",
        help="the mark before the decimals in a file of text, a point or a comma (a point)",
    )  # fmt: skip
    parser.add_argument(
        "--task", choices=("auto", "classes", "regression"), default="auto",
        help="what a file's target is (auto: words and up to 20 different integers are classes)",
    )  # fmt: skip
    parser.add_argument(
        "--validation", type=_share(0.0, open_low=True), metavar="SHARE", help="share of the rows to hold back (0.2)"
    )


def _training(parser: _Parser, several: bool = False) -> None:
    """Add what train and sweep have in common; a sweep takes several batch sizes and optimizers."""
    parser.add_argument("--epochs", type=_whole(1), default=20, metavar="N", help="passes through the training rows (20)")
    batch: Any = _list(_batch) if several else _batch
    name: Any = _list(str) if several else str
    dots = ",..." if several else ""
    parser.add_argument("--batch-size", type=batch, default=64, metavar=f"N{dots}", help="rows in a step, or 'all' (64)")
    parser.add_argument(
        "--optimizer", type=name, default="adam", metavar=f"NAME{dots}", help="sgd, adam, adamw, rmsprop, lbfgs, ... (adam)"
    )


def _machine(parser: _Parser) -> None:
    """Add what every command takes."""
    parser.add_argument("--engine", choices=("numba", "numpy"), help="compiled kernels, or plain NumPy (numba)")
    parser.add_argument("--threads", type=_whole(1, MOST_THREADS), metavar="N", help="threads at most (one for each core)")


# ---- types: argparse shows what they raise


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {value}")
        if most is not None and value > most:
            raise argparse.ArgumentTypeError(f"must be at most {most}, not {value}")
        return value

    return parse


def _share(least: float, open_low: bool = False) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = _number(text)
        if not least <= value < 1.0 or (open_low and value == least):
            raise argparse.ArgumentTypeError(f"must be {'above' if open_low else 'at least'} {least:g} and below 1, not {text}")
        return value

    return parse


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _rate(text: str) -> float:
    value = _number(text)
    if not 0.0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, not {text}")
    return value


def _penalty(text: str) -> float:
    value = _number(text)
    if not 0.0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be at least 0, not {text}")
    return value


def _batch(text: str) -> int | None:
    return None if text == "all" else _whole(1)(text)


def _list(item: Callable[[str], Any]) -> Callable[[str], tuple]:
    def parse(text: str) -> tuple:
        values = tuple(item(part.strip()) for part in text.split(",") if part.strip())
        if not values:
            raise argparse.ArgumentTypeError("is empty: give values separated by commas")
        return values

    return parse


def _values(item: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a parser of values separated by commas, or of a range A:B to draw from."""

    def parse(text: str) -> Any:
        low, colon, high = text.partition(":")
        if not colon:
            return _list(item)(text)
        ends = item(low.strip()), item(high.strip())
        if not 0 < ends[0] < ends[1]:
            raise argparse.ArgumentTypeError(f"needs two rising numbers above 0, such as 1e-4:1e-1, not {text}")
        from .sweeps.space import LogRange

        return LogRange(*ends)

    return parse


def _widths(text: str) -> tuple[int, ...]:
    return () if text == "none" else _list(_whole(1))(text)
