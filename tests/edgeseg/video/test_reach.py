"""A camera, a video file or who sits between cannot make this machine call anybody else, or tell them a password."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from strangers import Certificates, Listener, TlsFront, http_answer, http_redirect, make_certificates, rtsp_answer
from stream_servers import MjpegServer, RtspServer

from edgeseg.errors import SourceError
from edgeseg.video.sources.registry import open_source

SECRET = "sEcr3t"
BASIC = 'WWW-Authenticate: Basic realm="cam"'


@pytest.fixture
def bystander() -> Iterator[Listener]:
    """A server that nobody has named. It asks for a password, as a thief would."""
    listener = Listener(
        lambda head: (
            rtsp_answer(head, "401 Unauthorized", BASIC)
            if b"RTSP/" in head
            else b"HTTP/1.0 401 Unauthorized\r\n" + BASIC.encode() + b"\r\nContent-Length: 0\r\n\r\n"
        )
    )
    yield listener
    listener.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates that are right and wrong in each way."""
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def rtsp() -> Iterator[RtspServer]:
    """A camera that asks for the password by Digest."""
    server = RtspServer(login=f"ada:{SECRET}", digest=True)
    yield server
    server.kill()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_http_redirects_to_elsewhere_are_not_followed(bystander: Listener, status: int) -> None:
    camera = Listener(lambda head: http_redirect(f"http://127.0.0.1:{bystander.port}/video", status))
    with pytest.raises(SourceError, match=rf"redirects to http://127.0.0.1:{bystander.port}/video") as caught:
        open_source(f"http://ada:{SECRET}@127.0.0.1:{camera.port}/video")
    assert SECRET not in str(caught.value)
    assert bystander.came == []


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "", "//127.0.0.1:{port}/x", "http://localhost:{here}/x", "tcp://127.0.0.1:{port}"],
)
def test_nor_to_files_names_or_other_protocols(bystander: Listener, location: str) -> None:
    camera = Listener(lambda head: http_redirect(location.format(port=bystander.port, here=camera.port)))
    with pytest.raises(SourceError, match="redirects to"):
        open_source(f"http://127.0.0.1:{camera.port}/video")
    assert bystander.came == []
    assert len(camera.came) == 1


def test_http_redirects_at_the_same_host_and_port_are_followed(write_video: Callable[..., Path]) -> None:
    content = write_video("a.mp4", frames=5).read_bytes()
    camera = Listener(
        lambda head: http_answer(content, "video/mp4") if b"GET /moved.mp4" in head else http_redirect("/moved.mp4")
    )
    assert len(list(open_source(f"http://127.0.0.1:{camera.port}/a.mp4"))) == 5
    endless = Listener(lambda head: http_redirect("/again"))
    with pytest.raises(SourceError, match="redirects without end"):
        open_source(f"http://127.0.0.1:{endless.port}/a.mp4")


@pytest.mark.parametrize("moment", [b"OPTIONS", b"DESCRIBE", b"SETUP"])
@pytest.mark.parametrize("asks_first", [False, True])
def test_rtsp_redirects_are_not_followed_and_no_password_goes_elsewhere(
    bystander: Listener, moment: bytes, asks_first: bool
) -> None:
    description = b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 26\r\na=control:track0\r\n"

    def answer(head: bytes) -> bytes:
        if asks_first and b"\r\nAuthorization:" not in head:
            return rtsp_answer(head, "401 Unauthorized", BASIC)
        if head.startswith(moment):
            return rtsp_answer(head, "302 Found", f"Location: rtsp://127.0.0.1:{bystander.port}/street")
        if head.startswith(b"OPTIONS"):
            return rtsp_answer(head, "200 OK", "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
        return rtsp_answer(head, "200 OK", "Content-Type: application/sdp", body=description)

    camera = Listener(answer)
    with pytest.raises(SourceError, match=rf"redirects to rtsp://127.0.0.1:{bystander.port}/street") as caught:
        open_source(f"rtsp://ada:{SECRET}@127.0.0.1:{camera.port}/street", on_lost="wait")
    assert SECRET not in str(caught.value)
    assert any(head.startswith(moment) for head in camera.came)
    assert bystander.came == []


@pytest.mark.parametrize("transport", ["tcp", "udp", "http"])
def test_a_camera_that_asks_by_digest_is_let_see_no_password(rtsp: RtspServer, transport: str) -> None:
    source = open_source(rtsp.uri(f"ada:{SECRET}") + f"#transport={transport}")
    assert [frame.size for frame in islice(source, 5)] == [(240, 320)] * 5
    source.close()
    with pytest.raises(SourceError, match="does not let you in"):
        open_source(rtsp.uri("ada:wrong") + f"#transport={transport}")


PLAYLISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{uri}/a.ts\n#EXT-X-ENDLIST\n",
    "list.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT1S"><Period><BaseURL>{uri}/</BaseURL><AdaptationSet mimeType="video/mp4">'
    '<Representation id="1" bandwidth="1"><BaseURL>{uri}/a.mp4</BaseURL></Representation></AdaptationSet>'
    "</Period></MPD>",
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 26\n",
    "script.txt": "ffconcat version 1.0\nfile {uri}/a.mp4\n",
    "list.asx": '<asx version="3.0"><entry><ref href="{uri}/a.asf"/></entry></asx>',
    "link.rtsp": "rtsptextrtsp://127.0.0.1:{port}/x\n",
}


@pytest.mark.parametrize("name", list(PLAYLISTS))
@pytest.mark.parametrize("disguise", [False, True])
def test_playlists_and_scripts_make_nobody_call_anywhere(
    tmp_path: Path, bystander: Listener, name: str, disguise: bool
) -> None:
    content = PLAYLISTS[name].format(uri=f"http://127.0.0.1:{bystander.port}", port=bystander.port)
    path = tmp_path / (f"{name}.mp4" if disguise else name)
    path.write_text(content)
    with pytest.raises(SourceError, match=r"is not a video"):
        open_source(path)
    camera = Listener(lambda head: http_answer(content.encode(), "video/mp4" if disguise else "text/plain"))
    with pytest.raises(SourceError, match=r"is a playlist|cannot be opened as a video stream"):
        open_source(f"http://127.0.0.1:{camera.port}/{path.name}")
    assert bystander.came == []


@pytest.mark.parametrize(
    "name",
    [
        "http:127.0.0.1.mp4",
        "http:x.mp4",
        "rtsp_cam:1.mp4",
        "2024-11-14T22:57:44.mp4",
        "concat:a|b",
        "subfile,,start,0,end,9,,:a.mp4",
        "crypto:a.mp4",
        "data:video",
        "tcp:127.0.0.1:9.mp4",
        "camera:1.mp4",
        "gst:x.mp4",
        "-.mp4",
        "pipe:0",
        b"\xff\xfe.mp4".decode(errors="surrogateescape"),
        "frame%03d.mp4",
        "[a]*?.mp4",
        "a\nb.mp4",
    ],
)
def test_a_file_is_a_file_whatever_it_is_called(
    tmp_path: Path, write_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video("a.mp4", frames=3).rename(name)
    source = open_source(name)
    assert len(list(source)) == 3
    source.info.uri.encode()  # can be printed anywhere
    assert source.info.uri.isprintable()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2024-11-14T22:57:44.mp4", "there is no file 2024-11-14T22:57:44.mp4"),
        ("http:x.mp4", "there is no file http:x.mp4"),
        ("rtsp_cam:1.mp4", "there is no file rtsp_cam:1.mp4"),
        ("concat:a|b", "there is no file concat:a"),
        ("camera:1.mp4", "there is no file camera:1.mp4"),
        ("tcp:127.0.0.1:{port}", "there is no file tcp:"),
        ("tcp://127.0.0.1:{port}", "tcp:// is not understood"),
        ("udp://127.0.0.1:{port}", "udp:// is not understood"),
        ("ftp://127.0.0.1:{port}/a.mp4", "ftp:// is not understood"),
        ("file:///etc/passwd.mp4", "file:// is not understood"),
        ("x" * 300, r"cannot be opened \(File name too long\)"),
        (b"\xff.mp4".decode(errors="surrogateescape"), r"there is no file \\xff.mp4"),
        ("a\0b.mp4", "there is no file"),
        ("", "there is no file"),
    ],
)
def test_what_is_not_there_is_told_at_once(bystander: Listener, name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        open_source(name.format(port=bystander.port))
    str(caught.value).encode()
    assert bystander.came == []


def test_devices_folders_and_what_may_not_be_entered(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a device, not a file"):
        open_source("/dev/zero")
    (tmp_path / "dangling.mp4").symlink_to(tmp_path / "nothing.mp4")
    with pytest.raises(SourceError, match=r"dangling\.mp4 cannot be opened \(No such file"):
        open_source(tmp_path / "dangling.mp4")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(SourceError, match="there is no file"):
        open_source(tmp_path / "a.txt" / "b.mp4")


def test_pipelines_can_be_forbidden() -> None:
    with pytest.raises(SourceError, match="pipelines of GStreamer's are not allowed"):
        open_source("gst:filesrc location=/etc/passwd ! filesink location=/tmp/x", allow_gst=False)


@pytest.mark.parametrize(
    ("which", "host", "message"),
    [
        ("alone", "127.0.0.1", "self.signed certificate"),
        ("localhost", "127.0.0.1", "unable to get local issuer certificate"),
        ("other", "localhost", "unable to get local issuer"),
    ],
)
@pytest.mark.parametrize("scheme", ["https", "rtsps"])
def test_certificates_that_nobody_vouches_for_are_refused(
    certificates: Certificates, bystander: Listener, which: str, host: str, message: str, scheme: str
) -> None:
    front = TlsFront(bystander.port, getattr(certificates, which))
    with pytest.raises(SourceError, match=rf"certificate is refused \({message}") as caught:
        open_source(f"{scheme}://ada:{SECRET}@{host}:{front.port}/video")
    assert "tls_verify=0" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert bystander.came in ([], [b""])


@pytest.mark.parametrize(
    ("which", "host", "message"),
    [
        ("other", "localhost", "Hostname mismatch"),
        ("other", "127.0.0.1", "IP address mismatch"),
        ("expired", "localhost", "expired"),
    ],
)
@pytest.mark.parametrize("scheme", ["https", "rtsps"])
def test_so_are_those_of_another_name_and_those_out_of_date(
    certificates: Certificates, bystander: Listener, which: str, host: str, message: str, scheme: str
) -> None:
    front = TlsFront(bystander.port, getattr(certificates, which))
    with pytest.raises(SourceError, match=rf"certificate is refused \(.*{message}"):
        open_source(f"{scheme}://ada:{SECRET}@{host}:{front.port}/video#ca_file={certificates.authority}")
    assert bystander.came in ([], [b""])


def test_https_with_a_certificate_that_is_right(certificates: Certificates) -> None:
    camera = MjpegServer()
    front = TlsFront(camera.port, certificates.localhost)
    for options in (f"ca_file={certificates.authority}", "tls_verify=0"):
        for host in ("localhost", "127.0.0.1"):
            source = open_source(f"https://{host}:{front.port}/camera.mjpg#{options}")
            assert len(list(islice(source, 3))) == 3
            source.close()
    own = TlsFront(camera.port, certificates.alone)
    source = open_source(f"https://localhost:{own.port}/camera.mjpg#ca_file={certificates.alone}")
    assert len(list(islice(source, 3))) == 3
    source.close()
    camera.kill()


def test_rtsps_with_a_certificate_that_is_right(certificates: Certificates, rtsp: RtspServer) -> None:
    front = TlsFront(rtsp.port, certificates.localhost)
    for options in (f"ca_file={certificates.authority}", "tls_verify=0"):
        source = open_source(f"rtsps://ada:{SECRET}@localhost:{front.port}/street#{options}")
        assert [frame.size for frame in islice(source, 20)] == [(240, 320)] * 20
        source.close()


def test_what_is_wrong_with_a_ca_file_or_with_tls_itself_is_told(tmp_path: Path, bystander: Listener) -> None:
    (tmp_path / "notes.pem").write_text("no certificate")
    for name, why in (("nothing.pem", "No such file"), ("notes.pem", "no certificate in PEM")):
        for scheme in ("https", "rtsps"):
            with pytest.raises(SourceError, match=rf"{name} cannot be used \({why}"):
                open_source(f"{scheme}://127.0.0.1:{bystander.port}/x#ca_file={tmp_path / name}")
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def greet() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.sendall(b"220 this is no TLS\r\n")
                connection.recv(65536)

        threading.Thread(target=greet, daemon=True).start()
        with pytest.raises(SourceError, match="cannot be reached encrypted"):
            open_source(f"https://127.0.0.1:{plain.getsockname()[1]}/x")


def test_a_redirect_from_https_to_http_is_not_followed(certificates: Certificates, bystander: Listener) -> None:
    camera = Listener(lambda head: http_redirect(f"http://localhost:{bystander.port}/video"))
    front = TlsFront(camera.port, certificates.localhost)
    with pytest.raises(SourceError, match="redirects to http://localhost"):
        open_source(f"https://ada:{SECRET}@localhost:{front.port}/video#ca_file={certificates.authority}")
    assert bystander.came == []
