"""Footwear: closed shoes seen from the side, toe to the left."""

from samples.canvas import Fill, Layer
from samples.colours import INK, WHITE, Colour, darker, lighter
from samples.shapes import (
    Path,
    box,
    ellipse,
    line,
    outline,
    ribbon,
    spaced,
    star,
)

RUBBER: Colour = (240, 238, 232)


def laces(layer: Layer, upper: Path, lower: Path, count: int, colour: Colour) -> None:
    """Lace a shoe: bands from the tongue's edge to the eyelets, and a bow at the top."""
    for i in range(count):
        a = upper[round(i * (len(upper) - 1) / (count - 1))]
        b = lower[round(i * (len(lower) - 1) / (count - 1))]
        middle = ((a[0] + b[0]) / 2 - 2, (a[1] + b[1]) / 2 - 3)
        band = line(f"{a[0]},{a[1]} {middle[0]},{middle[1]} {b[0]},{b[1]}")
        layer.flat(ellipse(b[0], b[1], 3.4, 3.4), darker(colour, 0.6), 0.8)
        layer.shadow(ribbon([(x + 1, y + 3) for x, y in band], 5), 0.35, blur=1.4)
        layer.piece(ribbon(band, 5.5), colour, depth=1.6, rim=0.6)


def bow(layer: Layer, x: float, y: float, colour: Colour, size: float = 1) -> None:
    """Tie the laces in a bow."""

    def at(dx: float, dy: float) -> str:
        return f"{x + dx * size},{y + dy * size}"

    loops = (
        " ".join((at(0, 0), at(-16, -16), at(-32, -10), at(-26, 4), at(-10, 4), at(0, 0))),
        " ".join((at(0, 0), at(14, -18), at(30, -16), at(28, -2), at(12, 4), at(0, 0))),
        " ".join((at(0, 0), at(-6, 16), at(-16, 34))),
        " ".join((at(0, 0), at(10, 14), at(12, 34))),
    )
    for text in loops:
        layer.shadow(ribbon([(a + 1, b + 2) for a, b in line(text)], 3.5), 0.3, blur=1.4)
        layer.piece(ribbon(line(text), 3.8), colour, depth=1.2, rim=0.6)
    layer.piece(ellipse(x, y, 4, 4), colour, depth=1.5, rim=0.6)


def canvas_shoe(
    fill: Fill, trim: Colour, lace: Colour = WHITE, stripe: Colour | None = None
) -> Layer:
    """Draw a low canvas shoe with a rubber toe and a white sole."""
    layer = Layer()
    layer.piece(
        outline("184,213! 196,196 224,187 276,187 302,192! 300,224 200,233"),
        darker(trim, 0.5),
        glow=0,
    )
    layer.piece(
        outline("108,250! 140,221 166,192 184,177! 202,179 212,192! 196,219 150,263!"),
        fill,
        depth=5,
    )
    upper = outline(
        "32,298! 34,278 52,265 84,258 112,251! 142,243 176,221 204,196! 222,208 252,211 280,201 "
        "302,189! 314,204 320,241 324,298! 180,302"
    )
    layer.piece(upper, fill, depth=12, shade=0.5)
    for text, width in (("104,260 112,280 110,297", 8), ("236,216 226,241 232,268", 9)):
        layer.fold(line(text), width, 0.26)
    facing = outline("108,255! 150,246 190,219 206,198! 222,208 216,228! 186,256 136,275! 116,268")
    layer.piece(facing, fill, depth=3, rim=0.6)
    layer.seam(line("136,271 184,253 212,228"), WHITE, 0.9, dash=2.6, opacity=0.7)
    layer.seam(line("222,213 252,216 282,206 302,194"), WHITE, 0.9, dash=2.6, opacity=0.7)
    layer.piece(
        outline("292,198! 302,189! 314,204 320,241 323,297! 296,297! 300,241"),
        fill,
        depth=4,
        rim=0.6,
    )
    laces(layer, line("112,250 146,236 192,187"), line("138,268 176,251 208,221"), 6, lace)
    layer.piece(outline("30,300! 31,280 48,266 78,260! 96,271 104,300!"), RUBBER, depth=8)
    layer.seam(line("78,260 97,271 104,298"), darker(RUBBER, 0.4), 1)
    sole = outline("26,297! 100,300 180,303 326,293! 328,308 320,318! 180,323 60,322 34,315!")
    layer.piece(sole, RUBBER, depth=6, rim=0.5)
    layer.seam(line("29,305 100,310 180,313 327,303"), stripe or trim, 2.4, opacity=0.9)
    layer.piece(box(306, 262, 322, 280, 3), RUBBER, depth=2, rim=0.6)
    bow(layer, 196, 188, lace, 0.8)
    return layer


def high_top(fill: Fill, trim: Colour) -> Layer:
    """Draw a canvas shoe that covers the ankle, with a sun on a round patch."""
    layer = Layer()
    layer.piece(
        outline("196,124! 220,108 270,106 302,116! 300,150 210,156"), darker(trim, 0.6), glow=0
    )
    layer.piece(
        outline("116,262! 152,220 176,160 190,104! 206,98 220,108! 206,180 160,276!"), fill, depth=5
    )
    upper = outline(
        "32,318! 34,292 52,276 84,268 116,260! 152,242 182,190 206,118! 236,128 272,128 306,112! "
        "312,180 318,250 324,318! 180,322"
    )
    layer.piece(upper, fill, depth=13, shade=0.5)
    for text, width in (
        ("104,270 114,296 110,316", 8),
        ("300,210 270,220 250,214", 10),
        ("302,230 276,244 252,240", 9),
    ):
        layer.fold(line(text), width, 0.3)
    facing = outline("112,266! 156,250 188,200 208,122! 228,128 222,170! 200,226 142,290! 118,282")
    layer.piece(facing, fill, depth=3, rim=0.7)
    layer.seam(line("144,286 198,222 220,168"), WHITE, 0.9, dash=2.6, opacity=0.7)
    layer.seam(line("226,134 270,134 306,119"), WHITE, 0.9, dash=2.6, opacity=0.7)
    layer.seam(line("286,124 296,200 302,312"), WHITE, 0.9, dash=2.6, opacity=0.7)
    laces(layer, line("118,258 156,226 200,116"), line("144,280 190,226 216,146"), 8, WHITE)
    layer.piece(ellipse(262, 188, 23, 23), RUBBER, depth=3, rim=0.6)
    layer.piece(star(262, 188, 17, 9, 0.66), (234, 150, 52), depth=1.5)
    layer.piece(outline("30,320! 31,296 48,280 78,272! 96,286 104,320!"), RUBBER, depth=8)
    sole = outline("26,316! 100,320 180,323 326,312! 328,330 320,342! 180,347 60,346 34,338!")
    layer.piece(sole, RUBBER, depth=6, rim=0.5)
    layer.seam(line("29,326 100,332 180,335 327,324"), (190, 40, 48), 2.4, opacity=0.9)
    bow(layer, 204, 118, WHITE, 0.8)
    return layer


def loafer(fill: Fill, trim: Colour) -> Layer:
    """Draw a slip-on shoe with an apron seam and a strap."""
    layer = Layer()
    layer.piece(
        outline("150,216! 196,212 256,206 306,212! 296,246 180,256"),
        darker(lighter(trim, 0.3), 0.45),
        shade=0.6,
        glow=0,
    )
    upper = outline(
        "22,304! 22,286 44,270 84,256 118,240 138,222 154,202! 168,222 192,242 226,246 266,232 "
        "308,206! 322,222 326,262 326,304! 180,308"
    )
    layer.piece(upper, fill, depth=13, shade=0.55, glow=0.4)
    apron = line("150,228 128,252 96,266 60,274 38,288")
    layer.seam(apron, darker(trim, 0.6), 2.6, opacity=0.8)
    for x, y in spaced(apron, 6):
        layer.seam([(x - 1.5, y - 3.5), (x + 1.5, y + 2.5)], lighter(trim, 0.5), 1.2)
    strap = outline("138,221! 153,202! 178,236 204,246! 206,270 198,305! 164,306! 160,266")
    layer.piece(strap, fill, depth=5, glow=0.4, rim=0.8)
    layer.flat(outline("166,252! 194,258! 193,270! 165,264!"), darker(trim, 0.75), 0.9)
    layer.seam(line("210,251 228,252 268,238 310,212"), lighter(trim, 0.4), 1, dash=3)
    layer.piece(
        outline("294,216! 309,206! 322,222 326,262 326,302! 298,303! 300,260"),
        fill,
        depth=4,
        rim=0.7,
    )
    layer.gloss(outline("40,288 64,270 96,260 74,274 50,290"), 0.5, blur=3)
    sole = outline(
        "18,300! 100,306 180,309 328,301! 330,316 327,328! 252,328 248,318 60,319 26,313!"
    )
    layer.piece(sole, darker(trim, 0.65), depth=4)
    layer.seam(line("22,305 100,311 180,313 328,306"), lighter(trim, 0.4), 1, dash=3)
    return layer


def runner(fill: Fill, trim: Colour, accent: Colour, *, foam: Colour = WHITE) -> Layer:
    """Draw a running shoe: mesh, overlays, and a thick sole."""
    layer = Layer()
    layer.piece(
        outline("196,189! 212,175 250,169 296,171! 306,200 220,218"), darker(trim, 0.6), glow=0
    )
    layer.piece(
        outline("118,232! 150,205 176,177 192,157! 212,155 220,173! 206,200 156,250!"),
        accent,
        depth=5,
    )
    upper = outline(
        "24,286! 28,267 52,250 92,241 122,232! 156,220 186,196 208,173! 226,189 254,193 276,180 "
        "294,157! 312,159 318,182 320,227 330,281! 180,295"
    )
    layer.piece(upper, fill, depth=13, shade=0.5)
    for y in range(236, 284, 6):
        for x in range(46 + y % 4, 136, 6):
            layer.flat(ellipse(x + (y / 6 % 2) * 3, y, 1.1, 1.1), darker(trim, 0.5), 0.45)
    layer.piece(outline("22,288! 28,267 50,251 66,247! 64,265 84,285 92,292!"), accent, depth=6)
    layer.piece(
        outline("270,187! 294,157! 312,159 318,182 320,227 328,283! 262,292! 290,245 286,209"),
        accent,
        depth=7,
    )
    sweep = outline("128,288! 190,272 250,232 268,196! 284,196! 272,245 220,285 176,295!")
    layer.piece(sweep, foam, depth=4, rim=0.6)
    layer.piece(
        outline("116,238! 156,227 192,202 210,177! 224,187 218,205! 188,238 140,258!"),
        accent,
        depth=3,
        rim=0.7,
    )
    laces(layer, line("122,232 156,213 200,164"), line("142,250 180,232 214,200"), 6, foam)
    layer.piece(ribbon(line("304,160 318,155 320,171 314,184"), 5), accent, depth=1.5)
    sole = outline(
        "16,285! 60,290 120,292 200,288 270,281 332,270! 344,290 338,315! 300,322 240,315 180,319 "
        "120,324 60,322 24,308!"
    )
    layer.piece(sole, foam, depth=8, rim=0.5)
    layer.piece(
        outline("216,301! 270,290 338,281! 341,297 338,313! 300,321 250,313!"), accent, depth=3
    )
    for x in range(226, 330, 18):
        layer.flat(ellipse(x, 305 - (x - 226) * 0.05, 6, 3.4), darker(accent, 0.5), 0.7)
    layer.piece(
        outline(
            "20,304! 60,319 120,321 180,315 240,312 300,319 340,312! 334,324 300,330 "
            "240,322 180,326 120,331 60,330 30,319!"
        ),
        INK,
        depth=3,
    )
    for x in range(44, 330, 13):
        layer.flat(box(x, 326, x + 3.5, 338), WHITE, 0.3)
    bow(layer, 206, 168, foam, 0.75)
    return layer


def oxford(fill: Fill, trim: Colour, *, brogue: bool = False) -> Layer:
    """Draw a laced leather shoe with a toe cap and a heel."""
    layer = Layer()
    layer.piece(
        outline("186,220! 204,206 250,199 300,199! 306,224 210,237"),
        darker(lighter(trim, 0.3), 0.35),
        shade=0.6,
        glow=0,
    )
    layer.piece(
        outline("136,248! 160,227 178,207 188,191! 206,189 214,204! 204,224 170,255!"),
        fill,
        depth=5,
    )
    upper = outline(
        "18,304! 20,288 42,273 84,263 130,252! 162,242 184,224 202,202! 224,217 252,219 280,209 "
        "304,196! 318,211 322,252 322,302! 180,307"
    )
    layer.piece(upper, fill, depth=14, shade=0.55, glow=0.4)
    quarter = outline(
        "132,253! 164,243 188,224 204,204! 224,217 252,219 280,209 304,196! 318,211 "
        "322,252 322,302! 176,306! 176,288 166,273!"
    )
    layer.piece(quarter, fill, depth=8, shade=0.45, glow=0.3, rim=0.8)
    dark, pale = darker(trim, 0.65), lighter(trim, 0.4)
    for seam in ("96,261 104,281 100,306", "250,220 246,260 256,304", "134,256 168,276 178,304"):
        layer.seam(line(seam), dark, 1.6)
        layer.seam([(x + 3, y) for x, y in line(seam)], pale, 0.8, dash=2.4)
        if brogue:
            for x, y in spaced(line(seam), 6.5):
                layer.flat(ellipse(x - 4, y, 1.5, 1.5), dark)
    if brogue:
        for k in range(12):
            layer.flat(ellipse(*ellipse(58, 280, 17, 11)[k * 6], 1.5, 1.5), dark)
    layer.seam(line("204,208 224,222 252,224 281,214 304,202"), pale, 0.9, dash=2.4)
    laces(layer, line("138,250 168,233 196,196"), line("158,263 190,245 212,222"), 5, dark)
    layer.gloss(outline("34,288 52,276 84,270 62,279 44,289"), 0.6, blur=3)
    layer.gloss(outline("270,232 296,222 304,252 300,278 290,252"), 0.3, blur=6)
    layer.piece(
        outline("14,301! 100,306 180,309 324,302! 325,310! 180,315 60,314 20,309!"),
        lighter(darker(trim, 0.3), 0.08),
        depth=2,
        rim=0.7,
    )
    layer.seam(line("18,305 100,309 180,311 323,306"), pale, 0.8, dash=2.2)
    layer.piece(outline("252,312! 325,309! 324,329! 256,329!"), darker(trim, 0.75), depth=4)
    layer.piece(
        outline("20,310! 100,314 180,316 254,313! 250,317 180,320 60,318 28,314!"),
        darker(trim, 0.75),
        depth=2,
    )
    return layer


def pump(fill: Fill, trim: Colour) -> Layer:
    """Draw a high-heeled shoe."""
    layer = Layer()
    lining = outline(
        "112,282! 144,272 192,252 240,210 272,158 292,116! "
        "306,122! 290,190 256,246 210,292 164,316 120,304!"
    )
    layer.piece(lining, (236, 214, 188), depth=6, shade=0.5, glow=0)
    layer.piece(
        outline("294,196! 326,170! 326,230 318,300 314,362! 303,362! 302,310 298,250!"),
        darker(trim, 0.15),
        depth=5,
        glow=0.4,
    )
    upper = outline(
        "26,352! 28,338 52,318 84,298 112,282! 128,306 164,306 206,280 250,236 280,180 300,116! "
        "320,130 330,158 326,190! 300,204 262,250 220,304 180,340 140,358 80,360!"
    )
    layer.piece(upper, fill, depth=11, shade=0.55, glow=0.45)
    layer.piece(
        outline(
            "24,352! 80,358 140,357 180,339 222,302 262,249 300,203! 306,208! 268,256 "
            "226,310 184,346 142,364 80,365 30,361!"
        ),
        darker(trim, 0.7),
        depth=2,
    )
    layer.piece(box(301, 360, 316, 367, 1), INK, depth=1)
    layer.gloss(outline("44,342 66,322 94,306 72,328 54,344"), 0.55, blur=3)
    layer.gloss(outline("250,256 286,202 304,150 306,180 284,224"), 0.3, blur=4)
    return layer
