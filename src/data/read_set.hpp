#pragma once

#include <vector>

#include "mercer/comm/communicator.hpp"
#include "mercer/dist/row_block.hpp"
#include "reader.hpp"

namespace mercer::data {

/// Rows as read, on the ranks.
struct Part {
  dist::RowBlock<double> inputs, targets;
  std::vector<Index> file_rows;  ///< of the local rows, their place among the file's rows, from 0
};
struct StoredSet {
  Contents contents;
  std::vector<Part> parts;  ///< training rows, or training and test rows where there is a mask
};

/// Which rows go where.
struct Choice {
  std::string split = {};  ///< of Options: its test rows are a part of their own; "": one part
  Index limit = -1, limit_test = -1;
  const char* limit_name = "limit";  ///< of `limit`, in messages
  double memory_limit = 0;           ///< bytes a rank for rows; 0: none
  double memory_held = 0;            ///< bytes a rank of rows that are there already
};

/// Bytes that `rows` rows of `width` numbers take on the rank with most.
double bytes_of_rows(Index rows, double width, const comm::Communicator& comm);

/// The mask that `split` names, on every rank: for each of the `rows` rows of `spec` whether it is
/// a test row (one byte each). A CSV mask of one line more than the rows has a header (mask.cpp).
/// Collective. Throws InputError.
std::vector<char> read_mask(const std::string& split, const Spec& spec, Index rows,
                            const comm::Communicator& comm);

/// Reads the chosen rows and hands each rank its own. Collective; memory: the rank's rows and
/// panels of 8 MiB; for h5 also its share of the whole dataset.
StoredSet read_set(const Spec& spec, Request request, const Choice& choice,
                   const comm::Communicator& comm);
/// Of Format::h5.
StoredSet read_hdf5(const Spec& spec, const Request& request, const Choice& choice,
                    const comm::Communicator& comm);

/// Rank 0's, on all ranks (contents.cpp).
void broadcast(std::vector<std::string>& texts, const comm::Communicator& comm);
Contents broadcast(Contents contents, const comm::Communicator& comm);

}  // namespace mercer::data
