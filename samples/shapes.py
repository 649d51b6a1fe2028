"""Shapes: outlines and lines, as lists of points on a sheet of 360 x 480 units.

A shape is written as text, "x,y x,y! x,y": a smooth curve passes through the points, and bends
sharply at those marked "!".
"""

import math
from itertools import pairwise
from typing import NamedTuple

Point = tuple[float, float]
Path = list[Point]

AXIS = 180.0  # the sheet's vertical middle, about which garments are symmetric
STEPS = 14  # points drawn between two given ones


class Node(NamedTuple):
    """A given point of a curve."""

    x: float
    y: float
    corner: bool


def _nodes(text: str) -> list[Node]:
    nodes = []
    for word in text.split():
        x, y = word.rstrip("!").split(",")
        nodes.append(Node(float(x), float(y), word.endswith("!")))
    return nodes


def _blend(a: Point, b: Point, start: float, end: float, t: float) -> Point:
    share = (t - start) / (end - start)
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


def _span(p0: Point, p1: Point, p2: Point, p3: Point) -> Path:
    """Give the centripetal Catmull-Rom curve from p1 up to, not including, p2."""
    knots = [0.0]
    for a, b in ((p0, p1), (p1, p2), (p2, p3)):
        knots.append(knots[-1] + max(math.dist(a, b), 1e-6) ** 0.5)
    k0, k1, k2, k3 = knots
    path = []
    for step in range(STEPS):
        t = k1 + (k2 - k1) * step / STEPS
        a1, a2, a3 = _blend(p0, p1, k0, k1, t), _blend(p1, p2, k1, k2, t), _blend(p2, p3, k2, k3, t)
        b1, b2 = _blend(a1, a2, k0, k2, t), _blend(a2, a3, k1, k3, t)
        path.append(_blend(b1, b2, k1, k2, t))
    return path


def _smooth(points: Path) -> Path:
    """Curve through all points from the first to the last, both included."""
    first = (2 * points[0][0] - points[1][0], 2 * points[0][1] - points[1][1])
    last = (2 * points[-1][0] - points[-2][0], 2 * points[-1][1] - points[-2][1])
    padded = [first, *points, last]
    path: Path = []
    for i in range(len(points) - 1):
        path += _span(padded[i], padded[i + 1], padded[i + 2], padded[i + 3])
    return [*path, points[-1]]


def _open(nodes: list[Node]) -> Path:
    path: Path = []
    run: Path = []
    for i, node in enumerate(nodes):
        run.append((node.x, node.y))
        if len(run) > 1 and (node.corner or i == len(nodes) - 1):
            path += _smooth(run)
            run = [(node.x, node.y)]
    return path


def _closed(nodes: list[Node]) -> Path:
    corners = [i for i, node in enumerate(nodes) if node.corner]
    if corners:
        turned = nodes[corners[0] :] + nodes[: corners[0] + 1]
        return _open(turned)
    points = [(node.x, node.y) for node in nodes]
    count = len(points)
    path: Path = []
    for i in range(count):
        path += _span(*(points[(i + k) % count] for k in (-1, 0, 1, 2)))
    return path


def outline(text: str) -> Path:
    """Give the closed shape through the points of `text`."""
    return _closed(_nodes(text))


def line(text: str) -> Path:
    """Give the open curve through the points of `text`."""
    return _open(_nodes(text))


def symmetric(text: str, axis: float = AXIS) -> Path:
    """Give a closed shape from its left half, written from top to bottom."""
    half = _nodes(text)
    other = [Node(2 * axis - n.x, n.y, n.corner) for n in reversed(half) if n.x != axis]
    return _closed(half + other)


def arch(text: str, axis: float = AXIS) -> Path:
    """Give an open symmetric curve from its left half, written from the left end to the middle."""
    half = _nodes(text)
    other = [Node(2 * axis - n.x, n.y, n.corner) for n in reversed(half) if n.x != axis]
    return _open(half + other)


def flipped(path: Path, axis: float = AXIS) -> Path:
    """Give the mirror image of a path."""
    return [(2 * axis - x, y) for x, y in path]


def moved(path: Path, dx: float, dy: float) -> Path:
    """Give the path shifted by (dx, dy)."""
    return [(x + dx, y + dy) for x, y in path]


def turned(path: Path, degrees: float, centre: Point) -> Path:
    """Give the path rotated clockwise about a centre."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    cx, cy = centre
    return [
        (cx + (x - cx) * cos - (y - cy) * sin, cy + (x - cx) * sin + (y - cy) * cos)
        for x, y in path
    ]


def scaled(path: Path, factor: float, centre: Point) -> Path:
    """Give the path made larger or smaller about a centre."""
    cx, cy = centre
    return [(cx + (x - cx) * factor, cy + (y - cy) * factor) for x, y in path]


def ellipse(cx: float, cy: float, rx: float, ry: float, start: float = 0, end: float = 360) -> Path:
    """Give an ellipse, or its arc between two angles in degrees, clockwise from the right."""
    count = 72
    angles = [math.radians(start + (end - start) * i / count) for i in range(count + 1)]
    return [(cx + rx * math.cos(a), cy + ry * math.sin(a)) for a in angles]


def box(x0: float, y0: float, x1: float, y1: float, radius: float = 0) -> Path:
    """Give a rectangle with rounded corners."""
    if radius <= 0:
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    r = radius
    path: Path = []
    for cx, cy, start in (
        (x1 - r, y0 + r, -90),
        (x1 - r, y1 - r, 0),
        (x0 + r, y1 - r, 90),
        (x0 + r, y0 + r, 180),
    ):
        path += ellipse(cx, cy, r, r, start, start + 90)
    return path


def star(cx: float, cy: float, radius: float, points: int = 5, waist: float = 0.42) -> Path:
    """Give a star with one point upwards."""
    path = []
    for i in range(2 * points):
        r = radius if i % 2 == 0 else radius * waist
        angle = math.pi * i / points - math.pi / 2
        path.append((cx + r * math.cos(angle), cy + r * math.sin(angle)))
    return path


def _normals(path: Path) -> Path:
    normals = []
    for i in range(len(path)):
        (ax, ay), (bx, by) = path[max(i - 1, 0)], path[min(i + 1, len(path) - 1)]
        length = math.hypot(bx - ax, by - ay) or 1.0
        normals.append(((ay - by) / length, (bx - ax) / length))
    return normals


def ribbon(path: Path, width: float, end_width: float | None = None) -> Path:
    """Give the closed band along an open path, its width changing evenly to `end_width`."""
    last = width if end_width is None else end_width
    left, right = [], []
    for i, ((x, y), (nx, ny)) in enumerate(zip(path, _normals(path), strict=True)):
        half = (width + (last - width) * i / max(len(path) - 1, 1)) / 2
        left.append((x + nx * half, y + ny * half))
        right.append((x - nx * half, y - ny * half))
    return left + right[::-1]


def leaf(path: Path, width: float) -> Path:
    """Give a band along an open path that is thin at both ends, as a fold in cloth is."""
    left, right = [], []
    for i, ((x, y), (nx, ny)) in enumerate(zip(path, _normals(path), strict=True)):
        half = width / 2 * math.sin(math.pi * (i + 0.5) / len(path))
        left.append((x + nx * half, y + ny * half))
        right.append((x - nx * half, y - ny * half))
    return left + right[::-1]


def spaced(path: Path, gap: float) -> Path:
    """Give points along a path, `gap` apart."""
    points = [path[0]]
    left = gap
    for a, b in pairwise(path):
        length = math.dist(a, b)
        done = 0.0
        while length - done >= left:
            done += left
            share = done / length
            points.append((a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share))
            left = gap
        left -= length - done
    return points


def evenly(path: Path, count: int) -> Path:
    """Give `count` + 1 points evenly along a path, both ends included."""
    length = sum(math.dist(a, b) for a, b in pairwise(path))
    return [*spaced(path, length / count)[:count], path[-1]]
