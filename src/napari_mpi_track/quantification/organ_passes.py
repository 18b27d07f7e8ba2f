"""Compiled passes over a scan and its labels, run by run along the rows; imported where they are used only.

No pass keeps anything of the size of the scan, and none converts it: labels and voxels are read where they lie.
"""

import numpy as np
from numba import njit

# What a pass keeps of one organ: count, missing, shift, sum d, sum d2, lowest, highest, sums of plane, row and column,
# and of d times each, d the value less the shift (the organ's first value, so that large numbers do not cancel).
KEPT = 13
_AT_A_TIME = 128
# What a label is multiplied by to fill a word of 8 bytes with it, by its size.
FILL = {1: 0x0101010101010101, 2: 0x0001000100010001, 4: 0x0000000100000001, 8: 1}


@njit(cache=True, nogil=True)
def _end_of_run(labels, words, fill, first, stop):  # pragma: no cover
    """Return where the run of equal labels that starts at ``first`` ends, eight bytes looked at in one.

    ``words`` is the same row in words; empty where a row is not a whole number of them.
    """
    value = labels[first]
    at = first + 1
    if words.size:
        per = 8 // labels.itemsize
        while at < stop and at % per and labels[at] == value:
            at += 1
        if at % per == 0:
            word, last = at // per, stop // per
            full = np.uint64(value) * fill
            while word < last and words[word] == full:
                word += 1
            at = max(at, word * per)
    else:
        while at + _AT_A_TIME <= stop:
            block = labels[at : at + _AT_A_TIME]
            other = np.uint8(0)
            for k in range(_AT_A_TIME):
                other = np.uint8(other | np.uint8(block[k] != value))
            if other:
                break
            at += _AT_A_TIME
    while at < stop and labels[at] == value:
        at += 1
    return at


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _run_sums(values, first, stop, shift):  # pragma: no cover
    total, squares, moment = 0.0, 0.0, 0.0
    # A place counted in floats: whole numbers of 64 bits are turned into floats one by one.
    place = 0.0
    for value in values[first:stop]:
        d = value - shift
        total += d
        squares += d * d
        moment += d * place
        place += 1.0
    return total, squares, moment + first * total


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz", "nnan", "ninf"})
def _run_extremes(values, first, stop):  # pragma: no cover
    low = high = values[first]
    for value in values[first:stop]:
        low = value if value < low else low
        high = value if value > high else high
    return low, high


@njit(cache=True, nogil=True)
def sum_organs(voxels, labels, words, fill, keys, window, kept, boxes):  # pragma: no cover
    """Add what every organ holds within ``window`` (low, high by axis, (3, 2)) to ``kept`` (k, 13), ``boxes`` (k, 6).

    ``keys`` are the label values in order; ``boxes`` start as (largest, -1) by axis and hold the voxels' own ends.
    """
    for plane in range(window[0, 0], window[0, 1]):
        for row in range(window[1, 0], window[1, 1]):
            line, line_words, values = labels[plane, row], words[plane, row], voxels[plane, row]
            at, stop = window[2, 0], window[2, 1]
            while at < stop:
                end = _end_of_run(line, line_words, fill, at, stop)
                if line[at]:
                    organ = np.searchsorted(keys, line[at])
                    box = boxes[organ]
                    box[0], box[1] = min(box[0], plane), max(box[1], plane)
                    box[2], box[3] = min(box[2], row), max(box[3], row)
                    box[4], box[5] = min(box[4], at), max(box[5], end - 1)
                    _add_run(kept[organ], values, at, end, plane, row)
                at = end


@njit(cache=True, nogil=True)
def _add_run(sums, values, first, stop, plane, row):  # pragma: no cover
    if sums[0] == 0:
        # The organ's first number becomes its shift.
        while first < stop and not np.isfinite(values[first]):
            sums[1] += 1
            first += 1
        if first == stop:
            return
        sums[2] = values[first]
    total, squares, moment = _run_sums(values, first, stop, sums[2])
    if np.isfinite(total):
        count = stop - first
        low, high = _run_extremes(values, first, stop)
        columns = 0.5 * count * (first + stop - 1)
        _add(sums, count, total, squares, moment, low, high, plane, row, columns)
        return
    for k in range(first, stop):
        if np.isfinite(values[k]):
            d = values[k] - sums[2]
            _add(sums, 1, d, d * d, d * k, values[k], values[k], plane, row, k)
        else:
            sums[1] += 1


@njit(cache=True, nogil=True)
def _add(sums, count, total, squares, moment, low, high, plane, row, columns):  # pragma: no cover
    if sums[0] == 0:
        sums[5], sums[6] = low, high
    sums[0] += count
    sums[3] += total
    sums[4] += squares
    sums[5], sums[6] = min(sums[5], low), max(sums[6], high)
    sums[7] += plane * count
    sums[8] += row * count
    sums[9] += columns
    sums[10] += total * plane
    sums[11] += total * row
    sums[12] += moment


@njit(cache=True, nogil=True)
def count_digits(bits, labels, words, fill, keys, window, kind, shift, prefixes, counts):  # pragma: no cover
    """Count 16 bits of every number, from bit ``shift`` on, where those above are an organ's ``prefixes`` (2, k).

    Numbers come as their bits; ``kind`` says what orders them: 0 unsigned, 1 signed, 2 floats (which skip what is not
    a number). ``counts`` is (2, k, 65536); where both prefixes are one, the first is counted alone.
    """
    width = 8 * bits.itemsize
    sign = np.uint64(1) << np.uint64(width - 1)
    everything = np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - width)
    exponent = np.uint64(0x7F800000) if width == 32 else np.uint64(0x7FF0000000000000)
    above, below = np.uint64(min(shift + 16, 63)), np.uint64(shift)
    is_first = shift + 16 >= width
    for plane in range(window[0, 0], window[0, 1]):
        for row in range(window[1, 0], window[1, 1]):
            line, line_words, numbers = labels[plane, row], words[plane, row], bits[plane, row]
            at, stop = window[2, 0], window[2, 1]
            while at < stop:
                end = _end_of_run(line, line_words, fill, at, stop)
                organ = np.searchsorted(keys, line[at])
                if organ < keys.size and keys[organ] == line[at]:
                    low, high = prefixes[0, organ], prefixes[1, organ]
                    first, second = counts[0, organ], counts[1, organ]
                    for k in range(at, end):
                        key = np.uint64(numbers[k])
                        if kind == 2:
                            if key & exponent == exponent:
                                continue
                            key ^= everything if key & sign else sign
                        elif kind == 1:
                            key ^= sign
                        digit = (key >> below) & np.uint64(0xFFFF)
                        if is_first or key >> above == low:
                            first[digit] += 1
                        elif key >> above == high:
                            second[digit] += 1
                at = end


@njit(cache=True, nogil=True)
def find_organs(labels, words, fill, codes, counts, boxes):  # pragma: no cover
    """Count every organ's voxels into ``counts`` (k + 1,) and widen ``boxes`` (k + 1, 6) from (largest, 0) by axis.

    ``codes`` gives the organ's number by label.
    """
    for plane in range(labels.shape[0]):
        for row in range(labels.shape[1]):
            line, line_words = labels[plane, row], words[plane, row]
            at = 0
            while at < line.size:
                end = _end_of_run(line, line_words, fill, at, line.size)
                organ = codes[line[at]]
                if organ:
                    counts[organ] += end - at
                    box = boxes[organ]
                    box[0], box[1] = min(box[0], plane), max(box[1], plane + 1)
                    box[2], box[3] = min(box[2], row), max(box[3], row + 1)
                    box[4], box[5] = min(box[4], at), max(box[5], end)
                at = end


@njit(cache=True, nogil=True)
def number(labels, keys, numbers):  # pragma: no cover
    """Write the place of every label among ``keys`` (in order), counted from 1, to ``numbers``; 0 stays 0."""
    for plane in range(labels.shape[0]):
        for row in range(labels.shape[1]):
            last, place = labels[plane, row, 0] ^ labels[plane, row, 0], 0
            for column in range(labels.shape[2]):
                value = labels[plane, row, column]
                if value != last:
                    place = np.searchsorted(keys, value) + 1 if value else 0
                    last = value
                numbers[plane, row, column] = place
