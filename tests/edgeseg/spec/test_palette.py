from __future__ import annotations

import numpy as np

from edgeseg.spec.palette import colorize, distinct_colors, lookup_table, painted


def test_made_up_colours_are_the_voc_colour_map():
    assert distinct_colors(5) == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128))
    assert distinct_colors(256)[255] == (224, 224, 192)


def test_made_up_colours_are_all_different():
    assert len(set(distinct_colors(256))) == 256


def test_labels_without_a_class_are_black():
    table = lookup_table([(1, 2, 3)])
    assert table.shape == (256, 3)
    assert table[0].tolist() == [1, 2, 3]
    assert not table[1:].any()


def test_colorize_keeps_the_layout_of_the_labels():
    labels = np.array([[0, 1], [255, 1]], dtype=np.uint8)
    expected = [[[9, 8, 7], [1, 2, 3]], [[0, 0, 0], [1, 2, 3]]]
    assert colorize(labels, [(9, 8, 7), (1, 2, 3)]).tolist() == expected
    assert colorize(labels[np.newaxis], [(9, 8, 7), (1, 2, 3)]).shape == (1, 2, 2, 3)


def test_a_black_class_is_not_painted():
    labels = np.array([[0, 1], [255, 2]], dtype=np.uint8)
    assert painted(labels, [(0, 0, 0), (1, 2, 3), (0, 0, 1)]).tolist() == [[255, 1], [255, 2]]
    assert painted(labels, [(9, 0, 0), (1, 2, 3), (0, 0, 1)]) is labels
