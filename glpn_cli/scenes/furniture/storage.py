"""Things to keep things in: shelves with books, cupboards, wardrobes, sideboards, boxes, racks, cabinets."""

from __future__ import annotations

from glpn_cli.scenes.furniture import Piece
from glpn_cli.scenes.furniture.clutter import scatter
from glpn_cli.scenes.materials import Material, Texture, scaled
from glpn_cli.scenes.parts import CORNERS, Label
from glpn_cli.scenes.style import Style


def shelf(style: Style) -> Piece:
    """A shelf, open or with a back, filled with books, boxes and things."""
    d, p = style.chance, style.parts
    w, long = d.between(0.5, 2.4), d.between(0.22, 0.45)
    h = d.weigh([(3, d.between(1.6, 2.3)), (2, d.between(0.7, 1.4))])
    rows = max(2, int(h / d.between(0.27, 0.45)))
    columns = max(1, int(w / d.between(0.5, 1.0)))
    board = style.lacquer() if d.yes(0.5) else style.wood()
    bare = style.metal() if d.yes(0.2) else None
    closed_back = d.yes(0.7)
    fullness = d.between(0.3, 1.0)

    def fill(x0: float, x1: float, z: float, room: float) -> None:
        width = x1 - x0
        kind = d.weigh([(6 * fullness, "books"), (1.5, "things"), (1, "boxes"), (1.2 * (1 - fullness) + 0.2, "empty"),
                        (0.5, "door")])  # fmt: skip
        if kind == "books":
            height = min(d.between(0.18, 0.32), room * 0.95)
            used = width * d.between(0.4, 1.0)
            start = x0 if d.yes(0.7) else x1 - used
            depth = d.between(0.6, 0.95) * long
            p.slab((start, long / 2 - depth, z), (start + used, long / 2 - 0.02, z + height), style.books())
            if used < width * 0.8:
                scatter(style, (start + used, -long * 0.2), (x1 - 0.05, long * 0.2), z, 20, limit=2)
        elif kind == "things":
            scatter(style, (x0 + 0.06, -long * 0.25), (x1 - 0.06, long * 0.25), z, 22, limit=4)
        elif kind == "boxes":
            x = x0 + 0.02
            m = style.anything() if d.yes(0.5) else style.cardboard()
            while x < x1 - 0.15:
                b = d.between(0.15, 0.35)
                if x + b > x1:
                    break
                p.slab((x, -long * 0.45, z), (x + b - 0.01, long * 0.4, z + min(room * 0.85, d.between(0.12, 0.3))), m)
                x += b + (0.0 if d.yes(0.8) else 0.2)
        elif kind == "door":
            p.slab(
                (x0, -long / 2 - 0.002, z),
                (x1, -long / 2 + 0.02, z + room),
                style.drawers(1, 1, height=d.between(0.3, 0.8)),
            )

    def draw() -> None:
        t = 0.022
        step = (h - t) / rows
        if bare is not None:
            for sx, sy in CORNERS:
                p.box((sx * (w / 2 - 0.015), sy * (long / 2 - 0.015), h / 2), (0.03, 0.03, h), bare)
        else:
            for c in range(columns + 1):
                x = -w / 2 + c * (w - t) / columns
                p.slab((x, -long / 2, 0), (x + t, long / 2, h), board)
            if closed_back:
                p.slab((-w / 2, long / 2 - 0.01, 0), (w / 2, long / 2, h), board)
        for r in range(rows + 1):
            z = r * step if bare is None else max(r * step, 0.08)
            p.slab((-w / 2, -long / 2 + 0.004, z), (w / 2, long / 2 - 0.004, z + t), board)
            if r == rows:
                scatter(style, (-w * 0.45, -long * 0.3), (w * 0.45, long * 0.3), z + t, 5 if h < 1.9 else 2, limit=5)
                continue
            for c in range(columns):
                x = -w / 2 + c * (w - t) / columns
                fill(x + t + 0.005, x + (w - t) / columns - 0.005, z + t, step - t)

    return Piece(w, long, draw, height=h)


def cupboard(style: Style) -> Piece:
    """A wardrobe, cupboard, locker or filing cabinet with fronts and handles."""
    d, p = style.chance, style.parts
    tall = d.yes(0.6)
    w, long = d.between(0.45, 2.4), d.between(0.4, 0.65)
    h = d.between(1.5, 2.4) if tall else d.between(0.7, 1.3)
    columns = max(1, round(w / d.between(0.4, 0.7)))
    rows = d.weigh([(4, 1), (1, 2)]) if tall else d.weigh([(2, 1), (1, 2), (2, 3), (1, 4)])
    board = style.make_lacquer()
    ribbed = d.yes(0.1)
    glass = tall and d.yes(0.1)

    def draw() -> None:
        if ribbed:
            grooves = scaled(board.a, 0.6)
            m = Material(Texture.RIBS, board.a, c=grooves, scale=0.03, p=0.15, r=0.8, other=board)
        elif glass:
            m = style.books()
        else:
            m = style.drawers(columns, rows, board, height=0.5 if tall else d.between(0.5, 0.85))
        p.box((0, 0, h / 2), (w, long, h), m)
        top = d.weigh([(2, board), (1, style.wood())])
        p.box((0, 0, h + 0.012), (w + 0.02, long + 0.02, 0.025), top)
        if d.yes(0.5):
            p.box((0, -0.02, 0.03), (w * 0.98, long, 0.06), Material(a=scaled(board.a, 0.3)))
        scatter(style, (-w * 0.45, -long * 0.35), (w * 0.45, long * 0.35), h + 0.025, 6 if not tall else 2, limit=8)

    return Piece(w, long, draw, height=h)


def tv_stand(style: Style) -> Piece:
    """A low board with a television."""
    d, p = style.chance, style.parts
    w, long, h = d.between(1.0, 2.0), d.between(0.35, 0.5), d.between(0.35, 0.6)
    size = d.between(0.7, 1.4)

    def draw() -> None:
        p.box((0, 0, h / 2), (w, long, h), style.drawers(d.whole(2, 4), d.whole(1, 2)))
        scatter(style, (-w * 0.45, -long * 0.4), (w * 0.45, -long * 0.1), h, 6)
        with p.labelled(Label.CLUTTER):
            tall = size * 0.57
            p.box((0, 0.05, h + 0.06 + tall / 2), (size, 0.05, tall), style.plastic())
            p.box((0, 0.02, h + 0.06 + tall / 2), (size - 0.02, 0.012, tall - 0.02), style.screen(on=d.yes(0.35)))
            p.box((0, 0.05, h + 0.03), (size * 0.4, 0.2, 0.06), style.plastic())

    return Piece(w, long, draw, height=h + 0.7)


def boxes(style: Style) -> Piece:
    """Parcels, crates or suitcases in a heap."""
    d, p = style.chance, style.parts
    w = d.between(0.35, 0.7)
    n = d.whole(1, 4)

    def draw() -> None:
        z = 0.0
        with p.labelled(Label.CLUTTER):
            for _ in range(n):
                s = (d.between(0.25, w), d.between(0.25, w), d.between(0.15, 0.45))
                m = style.cardboard() if d.yes(0.6) else style.anything()
                p.box((d.bell(0, 0.03, -0.1, 0.1), 0, z + s[2] / 2), s, m, yaw=d.bell(0, 0.2, -0.7, 0.7))
                z += s[2]

    return Piece(w, w, draw, height=0.35 * n)


def rack(style: Style) -> Piece:
    """A coat rack or a rail with clothes."""
    d, p = style.chance, style.parts
    w = d.between(0.7, 1.6)
    m = style.metal()
    n = d.whole(3, 14)

    def draw() -> None:
        for s in (-1, 1):
            p.rod((s * w / 2, 0, 0), (s * w / 2, 0, 1.6), 0.014, m)
            p.box((s * w / 2, 0, 0.02), (0.03, 0.45, 0.03), m)
        p.rod((-w / 2, 0, 1.6), (w / 2, 0, 1.6), 0.014, m)
        with p.labelled(Label.CLUTTER):
            for _ in range(n):
                c = style.make_cloth()
                h = d.between(0.6, 1.1)
                x = d.between(-0.46, 0.46) * w
                p.cushion((x, 0, 1.55 - h / 2), (d.between(0.04, 0.1), d.between(0.36, 0.5), h), c, radius=0.02,
                          yaw=d.bell(0, 0.12, -0.4, 0.4))  # fmt: skip

    return Piece(w, 0.5, draw, height=1.6)


def shop_rack(style: Style) -> Piece:
    """A shop's gondola: rows of equal packages."""
    d, p = style.chance, style.parts
    w, long, h = d.between(0.9, 2.5), d.between(0.4, 0.6), d.between(1.3, 2.1)
    rows = d.whole(3, 6)
    frame = style.lacquer()

    def draw() -> None:
        p.slab((-w / 2, long / 2 - 0.03, 0), (w / 2, long / 2, h), frame)
        step = h / rows
        for r in range(rows):
            z = 0.1 + r * step * 0.95
            p.slab((-w / 2, -long / 2, z - 0.02), (w / 2, long / 2, z), frame)
            with p.labelled(Label.CLUTTER):
                x = -w / 2
                while x < w / 2 - 0.1:
                    b, tall = d.between(0.08, 0.25), step * d.between(0.4, 0.8)
                    run = min(d.between(0.2, 0.8), w / 2 - x)
                    m = style.anything() if d.yes(0.3) else style.poster()
                    while run > b:
                        p.slab((x, -long * 0.4, z), (x + b - 0.006, long * 0.3, z + tall), m)
                        x += b
                        run -= b
                    x += d.between(0.01, 0.06)

    return Piece(w, long, draw, height=h)
