"""Packets that wait for a slow decoder: what is given up, and what the decoder is told of it."""

from __future__ import annotations

import threading

import av
import pytest

from edgeseg.video.sources.network.packet_reader import PacketReader


def packet(number, key=False):
    made = av.Packet(str(number).encode())
    made.is_keyframe = key
    return made


def read_to_the_end(packets):
    """A reader that nobody took from until it had read them all."""
    over = threading.Event()
    reader = PacketReader(lambda: iter(packets), over.set, timeout_s=60)
    assert over.wait(60)
    return reader


def taken(reader):
    return [(bytes(arrived.packet), arrived.follows) for arrived in iter(reader.take, None)]


def test_what_is_read_in_time_is_taken_in_order():
    packets = [packet(0, key=True), packet(1), packet(2)]
    assert taken(read_to_the_end(packets)) == [(b"0", True), (b"1", True), (b"2", True)]


def test_too_many_are_given_up_until_a_key_picture_and_the_decoder_is_told():
    packets = [packet(0, key=True), *map(packet, range(1, 1005)), packet(1005, key=True), packet(1006)]
    assert taken(read_to_the_end(packets)) == [(b"1005", False), (b"1006", True)]


def test_an_error_comes_after_the_packets_before_it():
    def packets():
        yield packet(0, key=True)
        raise OSError("gone")

    reader = read_to_the_end(packets())
    assert bytes(reader.take().packet) == b"0"
    with pytest.raises(OSError, match="gone"):
        reader.take()


def test_nothing_is_taken_once_it_is_stopped():
    reader = read_to_the_end([packet(0, key=True)])
    reader.stop()
    assert reader.take() is None
