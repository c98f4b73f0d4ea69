"""Parts that all pages of results share: pictures, plots, the template with its style, the file."""

from patchbank.report.page import PAGE, check_page, render, write_page
from patchbank.report.pictures import (
    PLAIN_PX,
    Gallery,
    Picture,
    data_url,
    draw_inspection,
    draw_photograph,
)

__all__ = [
    "PAGE",
    "PLAIN_PX",
    "Gallery",
    "Picture",
    "check_page",
    "data_url",
    "draw_inspection",
    "draw_photograph",
    "render",
    "write_page",
]
