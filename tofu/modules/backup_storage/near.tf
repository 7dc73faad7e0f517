# Regions without object storage of their own, and where theirs is: the nearest on the same side of a border that data protection law draws, where there is one.
locals {
  near = {
    cdg = ["ams", "lhr"]
    dfw = ["ord", "atl"]
    fra = ["ams", "mxp"]
    hnl = ["lax", "sjc"]
    icn = ["nrt"]
    itm = ["nrt"]
    bom = ["blr", "del"]
    mad = ["mxp", "ams"]
    man = ["lhr", "ams"]
    mel = ["syd"]
    mex = ["lax", "atl"]
    mia = ["atl", "ewr"]
    sto = ["ams", "lhr"]
    waw = ["ams", "mxp"]
    yto = ["ewr", "ord"]
  }
}
