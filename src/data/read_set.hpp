#pragma once

#include <vector>

#include "mercer/comm/communicator.hpp"
#include "mercer/dist/row_block.hpp"
#include "reader.hpp"

namespace mercer::data {

/// Rows as they were read, over the ranks.
struct Part {
  dist::RowBlock<double> inputs, targets;
  std::vector<Index> file_rows;  ///< for each local row its place among the file's rows, from 0
};
struct StoredSet {
  Contents contents;
  std::vector<Part> parts;  ///< training rows, or training and test rows where there is a mask
};

/// Which rows of a set are read, and into which parts.
struct Choice {
  std::string split = {};  ///< as in Options: test rows are the second part; "": one part
  Index limit = -1, limit_test = -1;
  const char* limit_name = "limit";  ///< the field of Options that `limit` is, for messages
  double memory_limit = 0;           ///< bytes a rank for rows; 0: no limit
  double memory_held = 0;            ///< bytes a rank of rows that were read before
};

/// Bytes that `rows` rows of `width` numbers take on the rank that has most of them. Local.
double bytes_of_rows(Index rows, double width, const comm::Communicator& comm);

/// The mask that `split` names, whole on every rank: 1 for each of the `rows` rows of `spec` that
/// is a test row, else 0. A CSV mask of one line more than there are rows has a header (mask.cpp).
/// Collective: rank 0 reads it. Throws InputError.
std::vector<char> read_mask(const std::string& split, const Spec& spec, Index rows,
                            const comm::Communicator& comm);

/// Reads the chosen rows and gives each rank its own. Throws as load(). Collective. Memory: the
/// rank's rows and panels of 8 MiB; for HDF5, where rows are left out, also its share of all rows.
StoredSet read_set(const Spec& spec, Request request, const Choice& choice,
                   const comm::Communicator& comm);
/// The same for Format::h5.
StoredSet read_hdf5(const Spec& spec, const Request& request, const Choice& choice,
                    const comm::Communicator& comm);
/// The shape of the images of an h5 spec; zeros where it has none. Collective.
ImageShape image_in_hdf5(const Spec& spec, const comm::Communicator& comm);

/// Rank 0's texts or contents on all ranks (contents.cpp). Collective.
void broadcast(std::vector<std::string>& texts, const comm::Communicator& comm);
Contents broadcast(Contents contents, const comm::Communicator& comm);

}  // namespace mercer::data
