"""The sink behind ``--web``: the running stream as a page, on a server inside this process."""

from __future__ import annotations

from edgeseg.errors import InputError, SinkError
from edgeseg.run_config import RunConfig
from edgeseg.settings import SettingError
from edgeseg.types import Result
from edgeseg.video.sinks.per_stream import Streams
from edgeseg.video.status import SinkReports, Status
from edgeseg.video.web.address import LOCAL, check_bind, open_socket, parse_address, url_of
from edgeseg.video.web.app import App
from edgeseg.video.web.door import Limits
from edgeseg.video.web.hub import Hub
from edgeseg.video.web.monitor import Monitor
from edgeseg.video.web.picture import Encoding
from edgeseg.video.web.server import Server


class WebSink:
    """Shows results to any number of browsers, from the constructor until close.

    Writing is cheap and waits for nobody: a picture is encoded when somebody waits for one, once for all.

    Args:
        host: an address of this machine.
        port: 0 takes a free one.
        token: what viewers must know, 16 characters or more; must be given where other machines can reach ``host``.
        encoding: how pictures are encoded.
        max_fps: no stream is encoded more often than this.
        stall_s: a viewer that takes nothing for so many seconds is dropped.
        silent_s: ``/healthz`` calls a stream ill that has had no frame for so many seconds.
        limits: of connections and of the time that a request may take.

    Attributes:
        url: where the page is; the token is not in it.

    Raises:
        InputError: other machines could look without a token, or a value out of range.
        SinkError: the address cannot be had.
    """

    def __init__(
        self,
        host: str = LOCAL,
        port: int = 8080,
        *,
        token: str | None = None,
        encoding: Encoding | None = None,
        max_fps: float = 30.0,
        stall_s: float = 10.0,
        silent_s: float = 10.0,
        limits: Limits | None = None,
    ) -> None:
        check_bind(host, token)
        for name, value in (("max_fps", max_fps), ("stall_s", stall_s), ("silent_s", silent_s)):
            if not value > 0:
                raise InputError(f"{name} of the page is {value}", "Use a value above 0")
        listening = open_socket(host, port)
        self.url = url_of(listening)
        self._hub = Hub(encoding or Encoding(), max_fps)
        self._monitor = Monitor(self._hub, silent_s)
        try:
            app = App(self._monitor, stall_s).guarded(host, listening.getsockname()[1], token)
            self._server = server = Server(app, listening, limits or Limits())
            self._monitor.refused = lambda: server.refused
        except BaseException:
            self._hub.close()
            listening.close()
            raise
        self._address = f"{host}:{port}"
        self._closed = False

    def follow(self, status: Status, sinks: SinkReports = tuple) -> None:
        """Ask these how the run stands, from now on: ``Pipeline.status`` and ``Pipeline.sink_reports``."""
        self._monitor.status = status
        self._monitor.sinks = sinks

    def write(self, result: Result) -> None:
        """Take the newest result of a stream; one that nobody has looked at yet is forgotten.

        Raises:
            InputError: the result has no segmentation.
            SinkError: written after close.
        """
        if result.segmentation is None:
            raise InputError("a result without segmentation cannot be shown", "Put Segment among the stages")
        if self._closed:
            raise SinkError(f"the page at {self._address} is closed", "Write before close")
        self._monitor.add(result)
        self._hub.offer(result)

    def close(self) -> None:
        """End the page within two seconds, whoever is looking. Calling it twice is harmless."""
        self._closed = True
        self._hub.close()
        self._server.close()


def of_run(config: RunConfig, streams: Streams) -> WebSink | None:
    """The page of a run; before the sources are opened it is only tried whether it can be served.

    Raises:
        InputError: everyone could see it.
        SinkError: the address cannot be had.
    """
    host, port = parse_address(str(config.web))
    if streams.are_open:
        page = WebSink(host, port, token=config.web_token, encoding=Encoding(opacity=config.opacity))
        streams.note(f"the page is at {page.url}")
        return page
    try:
        check_bind(host, config.web_token)
    except InputError as error:
        raise SettingError(error.what, f"{error.remedy} ({{web_token_file}} FILE, {{web}} PORT)") from None
    open_socket(host, port).close()
    return None
