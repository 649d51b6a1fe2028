"""Pictures of shoes, bags, watches and other accessories."""

from samples import accessories, bags, footwear, jewellery, sandals, watches
from samples.backgrounds import grass, paper, tiles, wood
from samples.catalogue.picture import Picture, checks, stripes
from samples.colours import PALETTE as P
from samples.colours import WHITE
from samples.patterns import brushed, leather, plain, striped

FOOTWEAR = [
    Picture(
        "sneaker_red_canvas.jpg",
        "Casual Shoes",
        "Red",
        lambda: footwear.canvas_shoe(plain(P["Red"]), P["Red"]),
    ),
    Picture(
        "sneaker_black_high_top.jpg",
        "Casual Shoes",
        "Black",
        lambda: footwear.high_top(plain(P["Black"]), P["Black"]),
    ),
    Picture(
        "loafer_tan.jpg",
        "Casual Shoes",
        "Tan",
        lambda: footwear.loafer(leather(P["Tan"]), P["Tan"]),
    ),
    Picture(
        "running_shoe_blue.jpg",
        "Sports Shoes",
        "Blue",
        lambda: footwear.runner(plain(P["Blue"]), P["Blue"], P["Orange"]),
    ),
    Picture(
        "running_shoe_grey.jpg",
        "Sports Shoes",
        "Grey",
        lambda: footwear.runner(plain((176, 180, 188)), P["Grey"], P["Sea Green"]),
        grass,
        turn=-3,
    ),
    Picture(
        "oxford_black.jpg",
        "Formal Shoes",
        "Black",
        lambda: footwear.oxford(leather(P["Black"]), P["Black"]),
    ),
    Picture(
        "brogue_brown.jpg",
        "Formal Shoes",
        "Brown",
        lambda: footwear.oxford(leather(P["Brown"]), P["Brown"], brogue=True),
        tiles,
        turn=3,
    ),
    Picture("heel_red.jpg", "Heels", "Red", lambda: footwear.pump(leather(P["Red"]), P["Red"])),
    Picture(
        "sandals_brown.jpg",
        "Sandals",
        "Brown",
        lambda: sandals.slide_sandals(leather(P["Brown"]), P["Brown"], P["Gold"]),
        tiles,
        turn=5,
    ),
    Picture(
        "sandals_gold.jpg",
        "Sandals",
        "Gold",
        lambda: sandals.strappy_sandals(leather(P["Gold"]), P["Gold"], P["Turquoise Blue"]),
    ),
    Picture(
        "flip_flops_blue.jpg",
        "Flip Flops",
        "Blue",
        lambda: sandals.flip_flops(
            striped(P["Blue"], ((P["Turquoise Blue"], 10),), pitch=24), P["Blue"], P["Yellow"]
        ),
    ),
]
ACCESSORIES = [
    Picture(
        "handbag_tan_tote.jpg",
        "Handbags",
        "Tan",
        lambda: bags.tote(leather(P["Tan"]), P["Tan"], leather(P["Coffee Brown"])),
    ),
    Picture(
        "handbag_red_satchel.jpg",
        "Handbags",
        "Red",
        lambda: bags.satchel(leather(P["Red"]), P["Red"]),
        paper((236, 222, 210)),
    ),
    Picture(
        "handbag_black_quilted.jpg",
        "Handbags",
        "Black",
        lambda: bags.quilted(leather(P["Black"]), P["Black"]),
    ),
    Picture(
        "backpack_blue.jpg",
        "Backpacks",
        "Blue",
        lambda: bags.backpack(plain(P["Blue"]), P["Blue"], P["Orange"]),
    ),
    Picture(
        "backpack_olive.jpg",
        "Backpacks",
        "Olive",
        lambda: bags.rucksack(plain(P["Olive"]), P["Olive"], P["Tan"]),
        wood,
        turn=3,
    ),
    Picture(
        "wallet_brown.jpg", "Wallets", "Brown", lambda: bags.wallet(leather(P["Brown"]), P["Brown"])
    ),
    Picture(
        "wallet_pink.jpg", "Wallets", "Pink", lambda: bags.clutch(leather(P["Pink"]), P["Pink"])
    ),
    Picture(
        "belt_black.jpg",
        "Belts",
        "Black",
        lambda: accessories.belt(leather(P["Black"]), P["Black"], P["Silver"]),
    ),
    Picture(
        "tie_navy_striped.jpg",
        "Ties",
        "Navy Blue",
        lambda: accessories.tie(
            stripes(P["Navy Blue"], (P["Red"], 5), (WHITE, 2), pitch=26, lean=-40), P["Navy Blue"]
        ),
    ),
    Picture(
        "cap_blue.jpg",
        "Caps",
        "Blue",
        lambda: accessories.cap(plain(P["Blue"]), P["Blue"], plain(P["Red"]), WHITE),
    ),
    Picture(
        "socks_grey_striped.jpg",
        "Socks",
        "Grey",
        lambda: accessories.socks(
            stripes(P["Grey"], (P["Yellow"], 8), pitch=26), P["Grey"], P["Yellow"]
        ),
    ),
    Picture(
        "scarf_red_checked.jpg",
        "Scarves",
        "Red",
        lambda: accessories.scarf(
            checks(P["Red"], (P["Navy Blue"], 0, 12), (WHITE, 18, 3), pitch=36), P["Red"]
        ),
    ),
    Picture(
        "umbrella_red_white.jpg",
        "Umbrellas",
        "Red",
        lambda: accessories.umbrella((P["Red"], WHITE), P["Red"]),
    ),
    Picture(
        "watch_brown_leather.jpg",
        "Watches",
        "Brown",
        lambda: watches.strap_watch(
            leather(P["Brown"]), P["Brown"], brushed(P["Silver"]), WHITE, P["Navy Blue"]
        ),
    ),
    Picture(
        "watch_steel_blue_dial.jpg",
        "Watches",
        "Blue",
        lambda: watches.steel_watch(brushed(P["Silver"]), P["Silver"], P["Navy Blue"], WHITE),
    ),
    Picture(
        "watch_black_gold.jpg",
        "Watches",
        "Black",
        lambda: watches.strap_watch(
            leather(P["Black"]), P["Black"], brushed(P["Gold"]), (40, 42, 50), WHITE, small=True
        ),
        wood,
        turn=12,
    ),
    Picture(
        "watch_black_digital.jpg",
        "Watches",
        "Black",
        lambda: watches.digital_watch(plain(P["Black"]), P["Black"], P["Green"]),
    ),
    Picture(
        "sunglasses_black.jpg",
        "Sunglasses",
        "Black",
        lambda: jewellery.wayfarer(plain(P["Black"]), P["Black"], (30, 30, 36), (110, 110, 120)),
    ),
    Picture(
        "sunglasses_gold_aviator.jpg",
        "Sunglasses",
        "Gold",
        lambda: jewellery.aviator(P["Gold"], (60, 90, 70), (170, 200, 170)),
        paper((226, 214, 196)),
        turn=-6,
    ),
    Picture(
        "necklace_gold.jpg",
        "Necklace and Chains",
        "Gold",
        lambda: jewellery.chain_necklace(P["Gold"], P["Sea Green"]),
    ),
    Picture(
        "earrings_gold_red.jpg",
        "Earrings",
        "Gold",
        lambda: jewellery.hoop_earrings(P["Gold"], P["Red"]),
    ),
    Picture(
        "bracelet_turquoise_beads.jpg",
        "Bracelet",
        "Turquoise Blue",
        lambda: jewellery.bead_bracelet((P["Turquoise Blue"], P["Teal"]), P["Silver"]),
    ),
    Picture(
        "ring_silver.jpg",
        "Ring",
        "Silver",
        lambda: jewellery.diamond_ring(brushed(P["Silver"]), P["Silver"], (190, 226, 246)),
    ),
]
