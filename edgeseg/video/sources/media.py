"""What FFmpeg may read of what it is given, and how its failures are told.

A file of some formats tells FFmpeg to read other files, or to listen on the network: playlists, scripts, session
descriptions. None of them is read here, only containers that hold their pictures themselves, and only their bytes.
"""

from __future__ import annotations

import os
import stat
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream
from packaging.version import Version

from edgeseg.errors import SourceError
from edgeseg.video.sources.uri import redacted

CONVERT = "Copy or download the file again, or convert it with ffmpeg"

LARGEST_SIDE = 8192
LARGEST_PIXELS = 36_000_000
"""What a picture of a live source, or one from the network, may measure; whoever sends it may mean harm."""

_STREAMS = "h264,hevc,vvc,obu,av1,ivf,m4v,mpegvideo,h263,h261,vc1,dirac,mjpeg,mpjpeg,yuv4mpegpipe,nut,gif"
_CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,live_flv,asf,ogg"
_OTHERS = "dv,mxf,gxf,rm,wtv,nsv,swf,dhav,apng,webp,jpegxl_anim,avif,mjpeg_2000,bink,dnxhd,smjpeg"
_SOUND = "mp3,wav,w64,aac,flac,ac3,eac3,aiff,amr,au,caf,opus"  # read to say that they hold no video
_PICTURES = "jpeg_pipe,png_pipe,webp_pipe,bmp_pipe,tiff_pipe,ppm_pipe,pgm_pipe,jpegxl_pipe"

FILE_FORMATS = ",".join((_CONTAINERS, _STREAMS, _OTHERS, _SOUND))
STREAM_FORMATS = ",".join((_CONTAINERS, _STREAMS, _SOUND, _PICTURES))

STREAM_CODECS = (
    "h264,hevc,vvc,libdav1d,av1,vp8,vp9,libvpx,libvpx-vp9,mpeg4,mpeg2video,mpegvideo,mpeg1video,mjpeg,h263,h263p,h261,"
    "flv,vc1,wmv1,wmv2,wmv3,msmpeg4v2,msmpeg4,theora,dirac,dvvideo,prores,dnxhd,ffv1,huffyuv,ffvhuff,utvideo,rawvideo,"
    "v210,png,gif,webp,jpeg2000,bmp,tiff,ppm,pgm,aac,mp3,mp3float,mp2,mp2float,ac3,eac3,opus,vorbis,flac,pcm_s16le,"
    "pcm_s16be,pcm_alaw,pcm_mulaw"
)
"""The decoders for what comes from the network or through a pipe; of sound too, as FFmpeg looks at it."""

_LONGEST_REASON = 200  # letters: a camera may answer anything
_NO_PROTOCOL = "none"  # is none of FFmpeg's: what a container names beside itself is not opened


def open_file(path: Path) -> InputContainer:
    """A video file, read as a file whatever its name looks like.

    Raises:
        SourceError: not there, not readable, no video, or of a format that is not read.
    """
    shown = redacted(str(path))
    try:
        kind = os.stat(path).st_mode
    except (OSError, ValueError) as error:
        raise SourceError(f"{shown} cannot be opened ({reason(error)})", "Correct the path") from None
    if stat.S_ISCHR(kind) or stat.S_ISBLK(kind) or stat.S_ISSOCK(kind):
        raise SourceError(f"{shown} is a device, not a file", f"For a camera pass v4l2://{shown}")
    options = {"protocol_whitelist": "file", "format_whitelist": FILE_FORMATS}
    try:
        return _open(f"file:{os.fspath(path)}", options=options)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise SourceError(f"{shown} cannot be opened ({reason(error)})", "Correct the path") from None
    except Exception as error:
        raise SourceError(f"{shown} is not a video, or is damaged ({reason(error)})", CONVERT) from None


def open_bytes(
    file: Any, *, options: dict[str, str] | None = None, layout: str | None = None, limited: bool = True
) -> InputContainer:
    """What an object with ``read`` gives (and ``seek`` and ``tell``, where it can), opened by FFmpeg.

    Args:
        file: the object.
        options: of FFmpeg's.
        layout: the format's name where it is known.
        limited: whether pictures are to be kept to the limit of pixels while FFmpeg looks what there is.

    Raises:
        Exception: what the object raised, or PyAV; :func:`reason` puts it into words.
    """
    limits = {"protocol_whitelist": _NO_PROTOCOL, "codec_whitelist": STREAM_CODECS}
    if limited:
        limits["max_pixels"] = str(LARGEST_PIXELS)
    if layout is None:
        limits["format_whitelist"] = STREAM_FORMATS
    return _open(file, format=layout, options={**limits, **(options or {})})


def open_rtsp(address: str, transport: str, timeout_s: float) -> InputContainer:
    """An RTSP stream, over ``tcp``, ``udp`` or ``udp_multicast``.

    Args:
        address: of our own relay.
        transport: of the pictures.
        timeout_s: seconds without an answer or without data.

    Raises:
        Exception: PyAV's; :func:`reason` puts it into words.
    """
    options = {
        # What a stream is made of is mostly told at once; FFmpeg else counts frames for a second to tell their rate.
        "analyzeduration": "1000000",
        "fpsprobesize": "0",
        "rtsp_transport": transport,
        "allowed_media_types": "video",
        "format_whitelist": "rtsp",
        "protocol_whitelist": "tcp" if transport == "tcp" else "tcp,udp,rtp",
        "codec_whitelist": STREAM_CODECS,
        "max_pixels": str(LARGEST_PIXELS),
    }
    if transport.startswith("udp"):
        options["max_delay"] = "200000"  # µs to wait for a packet that was overtaken
    if transport == "udp":
        options["rtsp_flags"] = "filter_src"  # packets of others are not taken
    return _open(address, options=options, timeout=(timeout_s, timeout_s))


def _open(file: Any, **how: Any) -> InputContainer:
    """Names in the metadata need not be UTF-8: from PyAV 19 on that is so unasked."""
    if Version(av.__version__) < Version("19"):
        how["metadata_errors"] = "replace"
    opened: InputContainer = av.open(file, "r", **how)
    return opened


def video_stream(container: InputContainer, codecs: str | None = None) -> VideoStream | None:
    """The first stream of moving pictures that can be decoded; None where there is none. Covers of sound are none.

    Args:
        container: opened.
        codecs: the decoders that may be used, such as :data:`STREAM_CODECS`; None for any.
    """
    for stream in container.streams.video:
        is_cover = "attached_pic" in str(getattr(stream, "disposition", ""))
        codec = cast("VideoCodecContext | None", stream.codec_context)
        if not is_cover and codec is not None and (codecs is None or codec.codec.name in codecs.split(",")):
            return stream
    return None


def limit_pixels(codec: VideoCodecContext) -> None:
    """Have a decoder that was not used yet refuse pictures past the limit before it takes memory for them."""
    codec.options = {**codec.options, "max_pixels": str(LARGEST_PIXELS)}


def too_large(height: int, width: int) -> str:
    """Why a picture of this size is left out of a live stream; empty where it is not."""
    if max(height, width) <= LARGEST_SIDE and height * width <= LARGEST_PIXELS:
        return ""
    return f"a picture of {width}x{height} pixels, past the limit of {LARGEST_SIDE} a side and {LARGEST_PIXELS:,}"


def pixel_aspect_of(stream: VideoStream) -> Fraction:
    """How wide a pixel is for its height, as the stream says; 1 where it does not, or says nonsense."""
    told = stream.sample_aspect_ratio or Fraction(1)
    return Fraction(told) if Fraction(1, 8) <= told <= 8 else Fraction(1)


def reason(error: BaseException) -> str:
    """In a few words what PyAV, FFmpeg or the system says, without the address that FFmpeg repeats."""
    if isinstance(error, MemoryError):
        return "too large for the memory"
    told = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
    return redacted(str(told)[:_LONGEST_REASON])
