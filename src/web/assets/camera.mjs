// SPDX-License-Identifier: Apache-2.0
// camera: which part of the picture is seen. At rest a pixel of the device is a power of two of
// units, and its edges are those of pixels of tiles.
