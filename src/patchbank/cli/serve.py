"""`patchbank serve`: answer over HTTP, with every verdict on record; and the tokens for that."""

from __future__ import annotations

import gc
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Optional

import typer
from typer.core import TyperCommand

from patchbank.cli.option_records import with_options
from patchbank.cli.options import DeviceName, OtherEngine, check_processors
from patchbank.cli.serve_tokens import DatabaseUrl, DataDir, tokens
from patchbank.cli.statuses import Exit
from patchbank.errors import DataError
from patchbank.runtime.printable import one_line
from patchbank.settings.rules import Integer, Number

NEEDED = ("fastapi", "uvicorn", "sqlalchemy", "httptools", "prometheus_client", "multipart")


class ServeCommand(TyperCommand):
    """`serve [FILE...]`; with the first argument ``token``, the commands of tokens."""

    @property
    def first_words(self) -> dict[str, Any]:
        """Groups of commands by the first argument that means them."""
        return {"token": typer.main.get_command(tokens)}

    def make_context(
        self, info_name: Any, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        """The context of this command, or of that for tokens."""
        group = self.first_words.get(args[0]) if args else None
        if group is not None:
            name = f"{info_name} {args[0]}"
            return group.make_context(name, args[1:], parent=parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Options of `patchbank serve`; most are the settings of the service of the same name."""

    products: Annotated[
        Optional[list[Path]],
        typer.Argument(
            metavar="FILE...",
            help="Detector files, or folders of them: each is a product, by the name of its file. "
            "Without one, products are set up in a browser.",
        ),
    ] = None
    data: DataDir = Path("patchbank-data")
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="ADDRESS", help="Any but 127.0.0.1 needs a token: see `serve token`."
        ),
    ] = "127.0.0.1"
    port: Annotated[int, typer.Option("--port", help="0 takes a free one."), Integer(0, 65535)] = (
        8760
    )
    database: DatabaseUrl = None
    device: DeviceName = "auto"
    engine: OtherEngine = None
    cluster: Annotated[
        Optional[str],
        typer.Option(
            "--cluster",
            metavar="ADDRESS",
            help="Inspect on a Ray cluster: auto, HOST:PORT, ray://HOST:PORT, or local for "
            "processes of this machine.  All else stays in this process.",
        ),
    ] = None
    allow_root: Annotated[
        Optional[Path],
        typer.Option(
            "--allow-root",
            metavar="DIR",
            help="Let requests name photographs below DIR by their paths.",
        ),
    ] = None
    keep_good: Annotated[
        float,
        typer.Option("--keep-good", help="Share of good photographs that are kept; others all."),
        Number(0, 1),
    ] = 0.05
    pictures_gb: Annotated[
        float,
        typer.Option("--pictures-gb", help="Size of kept pictures; then the oldest are deleted."),
        Number(0, 1e9, open_low=True, unit="GB"),
    ] = 20.0
    pictures_days: Annotated[
        Optional[int],
        typer.Option("--pictures-days", help="Age of kept pictures; older ones are deleted."),
        Integer(1),
    ] = None
    max_queue: Annotated[
        Optional[int],
        typer.Option(
            "--max-queue",
            help="Photographs that wait or are inspected; more are answered 429. If not given, "
            "4 for each core, here or of the cluster.",
        ),
        Integer(1),
    ] = None
    max_bytes: Annotated[
        int, typer.Option("--max-bytes", help="Bytes of a request."), Integer(1000)
    ] = 64_000_000
    max_detector_bytes: Annotated[
        int,
        typer.Option("--max-detector-bytes", help="Bytes of a detector file that is sent."),
        Integer(1000),
    ] = 500_000_000
    max_pixels: Annotated[
        int, typer.Option("--max-pixels", help="Pixels of a photograph."), Integer(64)
    ] = 100_000_000
    timeout_s: Annotated[
        float,
        typer.Option("--timeout-s", help="Time after which a request is answered 503."),
        Number(0, 86_400, open_low=True, unit="s"),
    ] = 30.0
    products_mb: Annotated[
        float,
        typer.Option("--products-mb", help="Size of the detector files that are kept open."),
        Number(0, 1e9, open_low=True, unit="MB"),
    ] = 2000.0
    stop_s: Annotated[
        float,
        typer.Option("--stop-s", help="Time to finish what was accepted, when it is stopped."),
        Number(0, 86_400, open_low=True, unit="s"),
    ] = 30.0
    root_path: Annotated[
        str,
        typer.Option(
            "--root-path", metavar="PATH", help="Path of the service behind a reverse proxy."
        ),
    ] = ""
    tls_cert: Annotated[
        Optional[Path], typer.Option("--tls-cert", metavar="FILE", help="Certificate, in PEM.")
    ] = None
    tls_key: Annotated[
        Optional[Path], typer.Option("--tls-key", metavar="FILE", help="Its key, in PEM.")
    ] = None
    channel: Annotated[
        Optional[list[str]],
        typer.Option(
            "--channel",
            metavar="[NAME=]KIND:TARGET",
            help="Send every result there: mqtt:mqtts://HOST/PREFIX, webhook:https://URL, "
            "folder:DIR, or a kind of an installed package. Repeatable.",
        ),
    ] = None
    outbox_limit: Annotated[
        int,
        typer.Option(
            "--outbox-limit", help="Results that may wait for a channel; then the oldest go."
        ),
        Integer(1),
    ] = 100_000
    watch: Annotated[
        Optional[list[str]],
        typer.Option(
            "--watch",
            metavar="PRODUCT=DIR",
            help="Inspect each photograph that appears below DIR. Repeatable.",
        ),
    ] = None
    watch_done: Annotated[
        Optional[Path],
        typer.Option(
            "--watch-done", metavar="DIR", help="Move photographs of --watch there afterwards."
        ),
    ] = None
    camera: Annotated[
        Optional[list[str]],
        typer.Option(
            "--camera",
            metavar="NAME=PRODUCT:SOURCE",
            help="Take photographs with a camera: its index, rtsp://..., or a video file; it is "
            "triggered by HTTP, and by brokers of --channel mqtt. Repeatable.",
        ),
    ] = None
    log_json: Annotated[bool, typer.Option("--log-json", help="Log lines of JSON.")] = False

    def settings(self) -> Any:
        """The settings of the service."""
        from patchbank.server.service.settings import ServiceSettings, root_path_of

        given: dict[str, Any] = {
            field.name: getattr(self, field.name, None) for field in fields(ServiceSettings)
        }
        given["root_path"] = root_path_of(self.root_path)
        return ServiceSettings(**given)

    def ends(self) -> Any:
        """Channels, watched folders and cameras."""
        from patchbank.server.service.ends import EndSettings

        return EndSettings(
            channels=self.channel or (),
            outbox_limit=self.outbox_limit,
            watch=self.watch or (),
            watch_done=self.watch_done,
            data=self.data,
            cameras=self.camera or (),
        )


@with_options(ServeOptions)
def serve(options: ServeOptions) -> None:
    """Inspect photographs that come over HTTP; each verdict is on record before it is answered.

    Ctrl-C and SIGTERM stop it: it finishes what it has accepted, and ends with the status 0.

    `patchbank serve token add|list|revoke` makes the tokens that other computers need.
    """
    gc.disable()  # nothing becomes garbage while modules are imported
    _check(options)
    from patchbank.server.service.quick_start import import_framework

    import_framework()  # before anything else imports it
    from patchbank.runtime.logs import LOGGER
    from patchbank.server.pages.specs import SPECS
    from patchbank.server.service.logs import logged
    from patchbank.server.service.running import opened

    with (
        logged(as_json=options.log_json),
        opened(options.settings(), options.products or [], options.ends(), SPECS) as running,
    ):
        names = [product.name for product in running.service.catalog.products]
        said = f"{len(names)} product{'' if len(names) == 1 else 's'} ({', '.join(names)})"

        def ready(address: str) -> None:
            gc.freeze()  # what is there now stays, and need not be searched for garbage
            gc.enable()
            LOGGER.info("ready: %s, %s", address, said)

        running.serve(ready)
        if running.n_lost:
            LOGGER.error(
                "stopped: %d photographs were accepted and are not on record; their senders got no "
                "verdict",
                running.n_lost,
            )
            raise typer.Exit(Exit.INCOMPLETE)
        LOGGER.info("stopped: all that was accepted is on record")


def _check(options: ServeOptions) -> None:
    """Check what can be checked before anything is opened.

    Raises:
        DataError: a package, a file or a folder is not there.
        ParameterError: a device is none that replicas use.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise DataError(
            f"serve: expected the packages of the service, got none of the name {missing[0]}; "
            "pip install 'patchbank[serve]'"
        )
    for path in options.products or []:
        if not path.exists():
            raise DataError(f"{path}: expected a detector file or a folder, got nothing")
    if options.cluster is not None:
        check_processors(options.device, "replicas")
    if options.allow_root is not None and not options.allow_root.is_dir():
        raise DataError(f"--allow-root: expected a folder, got {options.allow_root}")
    if (options.tls_cert is None) != (options.tls_key is None):
        raise DataError("--tls-cert, --tls-key: expected both or none of them, got one")
    for file in (options.tls_cert, options.tls_key):
        if file is not None and not file.is_file():
            raise DataError(f"--tls-cert, --tls-key: expected files, got nothing at {file}")
    if options.tls_cert is not None and options.tls_key is not None:
        _check_certificate(options.tls_cert, options.tls_key)


def _check_certificate(certificate: Path, key: Path) -> None:
    """Check that a service can encrypt with these files, without asking for a password.

    Raises:
        DataError: it cannot.
    """
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise DataError(
            "--tls-cert, --tls-key: expected a certificate in PEM and its key without a password, "
            f"got {certificate} and {key} ({one_line(str(error))})"
        ) from None
