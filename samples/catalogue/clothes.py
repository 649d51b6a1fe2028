"""Pictures of clothes."""

from samples import dresses, jackets, lowers, motifs, uppers
from samples.backgrounds import concrete, grass, linen, paper, tiles, wall, wood
from samples.catalogue.picture import Picture, checks, dots, flowers, knit, solid, stripes
from samples.colours import INK, WHITE
from samples.colours import PALETTE as P
from samples.patterns import denim, dotted, leather, plain

UPPERS = [
    Picture(
        "tshirt_red_striped.jpg",
        "Tshirts",
        "Red",
        lambda: uppers.tshirt(stripes(P["Red"], (WHITE, 6), pitch=22), P["Red"]),
    ),
    Picture(
        "tshirt_white_heart.jpg",
        "Tshirts",
        "White",
        lambda: uppers.tshirt(
            solid("White"), P["White"], motif=motifs.stamped(motifs.HEART, P["Red"])
        ),
    ),
    Picture(
        "tshirt_navy_boat_print.jpg",
        "Tshirts",
        "Navy Blue",
        lambda: uppers.tshirt(solid("Navy Blue"), P["Navy Blue"], motif=motifs.boat),
    ),
    Picture(
        "tshirt_yellow_vneck.jpg",
        "Tshirts",
        "Yellow",
        lambda: uppers.tshirt(solid("Yellow"), P["Yellow"], neck="v"),
        wood,
        turn=-5,
    ),
    Picture(
        "tshirt_black_sunset_print.jpg",
        "Tshirts",
        "Black",
        lambda: uppers.tshirt(solid("Black"), P["Black"], motif=motifs.sunset),
        linen,
        turn=6,
    ),
    Picture(
        "tshirt_grey_bands_alpha.png",
        "Tshirts",
        "Grey Melange",
        lambda: uppers.tshirt(
            solid("Grey Melange"),
            P["Navy Blue"],
            sleeve=solid("Navy Blue"),
            motif=motifs.chest_bands,
        ),
    ),
    Picture(
        "tshirt_teal_bolt_rotated_exif.jpg",
        "Tshirts",
        "Teal",
        lambda: uppers.tshirt(
            solid("Teal"), P["Teal"], motif=motifs.stamped(motifs.BOLT, P["Yellow"])
        ),
        tiles,
        turn=4,
    ),
    Picture(
        "polo_green.jpg", "Tshirts", "Green", lambda: uppers.polo(solid("Green"), P["Navy Blue"])
    ),
    Picture(
        "shirt_blue_checked.jpg",
        "Shirts",
        "Blue",
        lambda: uppers.shirt(
            checks(P["Blue"], (WHITE, 0, 8), ((20, 30, 80), 16, 4), pitch=26), P["Blue"]
        ),
    ),
    Picture(
        "shirt_white_formal.jpg",
        "Shirts",
        "White",
        lambda: uppers.shirt(solid("White"), P["White"]),
        paper((214, 224, 232)),
    ),
    Picture(
        "shirt_pink_striped_short.jpg",
        "Shirts",
        "Pink",
        lambda: uppers.shirt(
            stripes(WHITE, (P["Pink"], 4), pitch=10, lean=90), P["Pink"], short=True
        ),
    ),
    Picture(
        "shirt_red_flannel.jpg",
        "Shirts",
        "Red",
        lambda: uppers.shirt(
            checks(P["Red"], (INK, 0, 14), (P["Cream"], 24, 2), pitch=36), P["Red"], buttons=INK
        ),
        wood,
        turn=-4,
    ),
    Picture(
        "top_peach_frilled.jpg", "Tops", "Peach", lambda: uppers.blouse(solid("Peach"), P["Peach"])
    ),
    Picture(
        "camisole_purple_dotted.jpg",
        "Tops",
        "Purple",
        lambda: uppers.camisole(dots(P["Purple"], WHITE, 16, 2), P["Lavender"]),
    ),
    Picture(
        "sweater_cream_knit.jpg",
        "Sweaters",
        "Cream",
        lambda: uppers.sweater(knit("Cream"), P["Cream"]),
        linen,
        turn=-6,
    ),
    Picture(
        "sweater_multi_striped.jpg",
        "Sweaters",
        "Multi",
        lambda: uppers.sweater(
            knit("Burgundy", P["Burgundy"], P["Mustard"], P["Cream"], P["Teal"]), P["Burgundy"]
        ),
    ),
    Picture(
        "hood_grey.jpg",
        "Sweatshirts",
        "Grey Melange",
        lambda: uppers.hoodie(solid("Grey Melange"), P["Grey Melange"], WHITE),
    ),
    Picture(
        "hood_maroon_star.jpg",
        "Sweatshirts",
        "Maroon",
        lambda: uppers.hoodie(
            solid("Maroon"), P["Maroon"], P["Cream"], motif=motifs.stamped(motifs.STAR, P["Cream"])
        ),
        concrete,
        turn=5,
    ),
    Picture(
        "jacket_denim.jpg",
        "Jackets",
        "Blue",
        lambda: jackets.denim_jacket(denim((84, 118, 170)), P["Blue"]),
    ),
    Picture(
        "jacket_olive_bomber.jpg",
        "Jackets",
        "Olive",
        lambda: jackets.bomber(plain(P["Olive"]), P["Olive"], P["Orange"]),
        wall,
        turn=-3,
    ),
    Picture(
        "jacket_orange_puffer.jpg",
        "Jackets",
        "Orange",
        lambda: jackets.puffer(plain(P["Orange"]), P["Orange"]),
    ),
    Picture(
        "jacket_black_leather.jpg",
        "Jackets",
        "Black",
        lambda: jackets.biker(leather(P["Black"]), P["Black"]),
    ),
]
DRESSES_AND_LOWERS = [
    Picture("dress_red_aline.jpg", "Dresses", "Red", lambda: dresses.aline(solid("Red"), P["Red"])),
    Picture(
        "dress_black_dotted.jpg",
        "Dresses",
        "Black",
        lambda: dresses.aline(dots(P["Black"], WHITE, 20, 3.4), P["Black"], tie=P["Red"]),
        wall,
    ),
    Picture(
        "dress_cream_flowered.jpg",
        "Dresses",
        "Cream",
        lambda: dresses.shift_dress(flowers(P["Cream"], P["Pink"], P["Red"]), P["Cream"]),
    ),
    Picture(
        "dress_turquoise_maxi.webp",
        "Dresses",
        "Turquoise Blue",
        lambda: dresses.maxi(solid("Turquoise Blue"), P["Turquoise Blue"]),
    ),
    Picture(
        "dress_blue_striped_belted.jpg",
        "Dresses",
        "Blue",
        lambda: dresses.shirt_dress(
            stripes(WHITE, (P["Blue"], 4), pitch=10, lean=90), P["Blue"], P["Tan"]
        ),
    ),
    Picture(
        "jeans_blue.jpg",
        "Jeans",
        "Blue",
        lambda: lowers.jeans(denim((62, 92, 150)), P["Navy Blue"]),
    ),
    Picture(
        "jeans_black.jpg",
        "Jeans",
        "Black",
        lambda: lowers.jeans(denim((52, 52, 60)), P["Black"], faded=0.16),
        wood,
        turn=4,
    ),
    Picture(
        "trousers_beige.jpg",
        "Trousers",
        "Beige",
        lambda: lowers.trousers(plain(P["Beige"]), P["Beige"]),
    ),
    Picture(
        "shorts_khaki.jpg", "Shorts", "Khaki", lambda: lowers.shorts(plain(P["Khaki"]), P["Khaki"])
    ),
    Picture(
        "shorts_navy_dotted.jpg",
        "Shorts",
        "Navy Blue",
        lambda: lowers.shorts(
            dotted(P["Navy Blue"], WHITE, pitch=22, radius=3.4), P["Navy Blue"], cord=WHITE
        ),
        grass,
        turn=-5,
    ),
    Picture(
        "skirt_pink_pleated.jpg",
        "Skirts",
        "Pink",
        lambda: lowers.pleated_skirt(plain(P["Pink"]), P["Pink"]),
    ),
    Picture(
        "skirt_black_pencil.jpg",
        "Skirts",
        "Black",
        lambda: lowers.pencil_skirt(plain(P["Black"]), P["Black"]),
    ),
]
