-- Plain GET of the URL's path.
dofile(os.getenv("TREADLE_WRK") .. "/report.lua")
