#pragma once

#include "mercer/net/network.hpp"

namespace mercer::net {

/// What a convolution sees of images: for every output pixel its patch, f1 f2 C numbers in the
/// order of W's rows, zeros outside the image with same padding. The pixels of a column of images
/// are numbered row by row, one image after the other. A line is a row of output pixels.

/// patches (f1 f2 C x lines W_out, without gaps) = those of the lines first ... first + count - 1
/// of images A, in.numbers() x m: line r is row r mod H_out of image r div H_out. Local.
template <class T>
void gather(const Convolution& c, MatrixView<const T> A, Index first, Index count, T* patches);

/// A += the transpose of gather(): every number of a patch is added where it came from. Local.
template <class T>
void scatter_add(const Convolution& c, const T* patches, Index first, Index count, MatrixView<T> A);

}  // namespace mercer::net
