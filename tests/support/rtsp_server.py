"""An RTSP server as a process of its own, for the tests: rtsp://127.0.0.1:PORT/street shows a moving pattern.

    /usr/bin/python3 rtsp_server.py PORT [WIDTHxHEIGHT] [FPS] [USER:PASSWORD] [digest]

It runs under the system's Python, whose GObject bindings Debian packages, and prints its port once it listens. Port 0
takes a free one.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402 - after the versions are chosen

_PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width={width},height={height},framerate={fps}/1 ! "
    "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={fps} ! rtph264pay name=pay0 pt=96 )"
)


def main(port: str, size: str = "320x240", fps: str = "25", login: str = "", kind: str = "basic") -> None:
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    factory = GstRtspServer.RTSPMediaFactory()
    width, height = size.split("x")
    factory.set_launch(_PIPELINE.format(width=width, height=height, fps=fps))
    if login:
        _demand(server, factory, *login.split(":"), is_digest=kind == "digest")
    server.get_mount_points().add_factory("/street", factory)
    if not server.attach(None):
        raise SystemExit(f"port {port} is taken")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


def _demand(
    server: GstRtspServer.RTSPServer,
    factory: GstRtspServer.RTSPMediaFactory,
    user: str,
    password: str,
    *,
    is_digest: bool,
) -> None:
    """Let in only those who know the password."""
    role = "viewer"
    permissions = GstRtspServer.RTSPPermissions()
    for right in (GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT):
        permissions.add_permission_for_role(role, right, True)
    factory.set_permissions(permissions)
    auth = GstRtspServer.RTSPAuth()
    token = GstRtspServer.RTSPToken()
    token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, role)
    if is_digest:
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        auth.add_digest(user, password, token)
    else:
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    server.set_auth(auth)


if __name__ == "__main__":
    main(*sys.argv[1:])
