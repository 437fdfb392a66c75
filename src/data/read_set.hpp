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
  std::vector<char> mask;  ///< one a row, 1: test row; empty: all are training rows
  Index limit = -1, limit_test = -1;
  const char* limit_name = "limit";  ///< of `limit`, in messages
  double memory_limit = 0;           ///< bytes a rank for rows; 0: none
  double memory_held = 0;            ///< bytes a rank of rows that are there already
};

/// Bytes that `rows` rows of `width` numbers take on the rank with most.
double bytes_of_rows(Index rows, Index width, const comm::Communicator& comm);

/// Column S of the mask's file, on every rank (one byte a row). Collective.
std::vector<char> read_mask(const std::string& text, const comm::Communicator& comm);

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
