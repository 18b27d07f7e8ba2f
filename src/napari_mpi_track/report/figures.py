"""What every figure looks like: colours, sizes in print, letters; and how a figure becomes a file.

Figures are matplotlib ``Figure`` objects, never pyplot's: no window, no global state, and the same bytes every time.
"""

from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal
from zlib import crc32

from napari_mpi_track.imaging.labels import Colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

# Okabe & Ito, Color Universal Design (2008); black is left out, it would vanish on a scan.
_OKABE_ITO: tuple[Colour, ...] = (
    (0.902, 0.624, 0.000),
    (0.337, 0.706, 0.914),
    (0.000, 0.620, 0.451),
    (0.941, 0.894, 0.259),
    (0.000, 0.447, 0.698),
    (0.835, 0.369, 0.000),
    (0.800, 0.475, 0.655),
)
_USUAL_ORGANS = {"liver": 0, "lungs": 1, "spleen": 2, "bone": 3, "kidneys": 4, "tumour": 5, "heart": 6}
_GREY: Colour = (0.45, 0.45, 0.45)
_MARKERS = "osD^vP"
INK = "#222222"
# Widths of one and of two columns in print, and letters that can still be read there.
ONE_COLUMN_MM, TWO_COLUMNS_MM = 85.0, 180.0
TEXT_POINTS, TITLE_POINTS = 7.0, 8.0
_MM_PER_INCH = 25.4


def organ_colour(organ: str) -> Colour:
    """Return the RGB of an organ, 0 to 1: by its name alone, so that it is the same on every day and figure."""
    if organ in ("fiducials", "outside", "total"):
        return _GREY
    return _OKABE_ITO[_USUAL_ORGANS.get(organ.lower(), crc32(organ.encode()) % len(_OKABE_ITO))]


def organ_marker(organ: str) -> str:
    """Return the plot marker of an organ: shape tells apart what colour alone may not."""
    return _MARKERS[_USUAL_ORGANS.get(organ.lower(), crc32(organ.encode()[::-1])) % len(_MARKERS)]


def hot_iron() -> "LinearSegmentedColormap":
    """Return the colour map of MPI, black through red and orange to white; the viewer's has the same stops."""
    from matplotlib.colors import LinearSegmentedColormap

    stops = [(0, 0, 0), (0.45, 0, 0), (0.9, 0.2, 0), (1, 0.6, 0.1), (1, 1, 0.85)]
    return LinearSegmentedColormap.from_list("hot iron", stops)


def cool() -> "LinearSegmentedColormap":
    """Return the colour map of PET and SPECT, black through blue to white; the viewer's has the same stops."""
    from matplotlib.colors import LinearSegmentedColormap

    stops = [(0, 0, 0), (0.05, 0.1, 0.5), (0.0, 0.45, 0.8), (0.3, 0.85, 0.9), (0.95, 1, 1)]
    return LinearSegmentedColormap.from_list("cool", stops)


def new_figure(width_inch: float, height_inch: float) -> "Figure":
    """Return an empty white figure that belongs to no window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inch, height_inch), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def print_figure(width_mm: float, height_mm: float) -> "Figure":
    """Return an empty figure of a size in print; its parts keep clear of each other."""
    figure = new_figure(width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH)
    figure.set_layout_engine("constrained")
    return figure


FigureKind = Literal["svg", "png", "pdf"]
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
# Letters stay text: in an SVG a person can search them and no font of this machine changes the bytes; a PDF holds its
# font as TrueType, which journals ask for.
_LETTERS = {"svg.hashsalt": "napari-mpi-track", "svg.fonttype": "none", "pdf.fonttype": 42}


def figure_bytes(figure: "Figure", kind: FigureKind, *, dots_per_inch: int = 150) -> bytes:
    """Return a figure as a file's bytes, the same for the same figure: no date, no random names in it."""
    from matplotlib import rc_context

    stream = BytesIO()
    with rc_context(_LETTERS):
        figure.savefig(stream, format=kind, dpi=dots_per_inch, metadata=_METADATA[kind])
    return stream.getvalue()


def palette_colour(number: int) -> Colour:
    """Return the RGB of one of seven colours that everybody can tell apart, by its number from 0."""
    return _OKABE_ITO[number % len(_OKABE_ITO)]


def plain_axes(figure: "Figure", *place: int) -> "Axes":
    """Return axes in the one style of all figures, at ``place`` (rows, columns, number)."""
    axes = figure.add_subplot(*place)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    axes.grid(True, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def print_axes(figure: "Figure", *place: int) -> "Axes":
    """Return axes as they stand in print: letters of 7 pt, thin lines."""
    axes = plain_axes(figure, *place)
    axes.tick_params(labelsize=TEXT_POINTS, length=2.5, width=0.6, pad=2)
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.4)
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)
    return axes


def headline(figure: "Figure", title: str) -> None:
    """Write a figure's title above it, at the left."""
    if title:
        figure.suptitle(title, fontsize=TITLE_POINTS, x=0.01, ha="left")


def plain_number(value: float, _place: float = 0.0) -> str:
    """Return a number of an axis in full, thousands set apart."""
    return f"{value:,.10g}"
