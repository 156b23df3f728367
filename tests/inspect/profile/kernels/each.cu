// Those of this folder that compile for every architecture; what nvdisasm takes longest for is to begin.
#include "copy.cu"
#include "dot.cu"
#include "local.cu"
#include "pick.cu"
#include "tile.cu"
