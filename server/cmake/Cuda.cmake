# Ends in three targets, for PREFSCORE_CUDA=ON:
#   prefscore::cudart      headers and library of the CUDA runtime: what the kernels and their callers need
#   prefscore::cublaslt    headers of cublasLt, with the runtime
#   prefscore::torch_cuda  the CUDA half of the torch wheel, with the runtime
# and the language CUDA. The compiler is that of scripts/setup --cuda, one beside torch, or the nvcc on PATH.

set(wheel_cuda ${PREFSCORE_TORCH_DIR}/../nvidia/cu13)
file(GLOB wheel_nvcc ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/nvidia/cu13/bin/nvcc ${wheel_cuda}/bin/nvcc)
find_program(PREFSCORE_NVCC NAMES ${wheel_nvcc} nvcc PATHS /usr/local/cuda/bin)
if(NOT PREFSCORE_NVCC)
  message(FATAL_ERROR "PREFSCORE_CUDA=ON needs nvcc: run scripts/setup --cuda, or put nvcc 13 on PATH")
endif()
get_filename_component(cuda_root ${PREFSCORE_NVCC} REALPATH)
get_filename_component(cuda_root ${cuda_root} DIRECTORY)
get_filename_component(cuda_root ${cuda_root} DIRECTORY)

# The library is the wheel's: two runtimes in one process would not share contexts' state. The headers are those of the
# compiler, which it includes by itself: those of another toolkit would be mixed with them. Headers of the runtime come
# in a wheel of their own, so beside a compiler from wheels they may lie with torch.
find_file(PREFSCORE_CUDART NAMES libcudart.so.13 NO_DEFAULT_PATH
  PATHS ${wheel_cuda}/lib ${cuda_root}/lib64 ${cuda_root}/lib ${cuda_root}/targets/x86_64-linux/lib)
set(cuda_includes ${cuda_root}/include ${cuda_root}/targets/x86_64-linux/include ${wheel_cuda}/include)
find_path(PREFSCORE_CUDA_INCLUDE NAMES cuda_runtime_api.h NO_DEFAULT_PATH PATHS ${cuda_includes})
find_path(PREFSCORE_CUBLASLT_INCLUDE NAMES cublasLt.h NO_DEFAULT_PATH PATHS ${cuda_includes})
foreach(file PREFSCORE_CUDART PREFSCORE_CUDA_INCLUDE PREFSCORE_CUBLASLT_INCLUDE)
  if(NOT ${file})
    message(FATAL_ERROR
      "${file}: CUDA 13's libcudart.so.13, cuda_runtime_api.h and cublasLt.h must be in ${wheel_cuda} or ${cuda_root}")
  endif()
endforeach()

set(CMAKE_CUDA_COMPILER ${PREFSCORE_NVCC})
set(CMAKE_CUDA_HOST_COMPILER ${CMAKE_CXX_COMPILER})
set(CMAKE_CUDA_ARCHITECTURES 90 CACHE STRING "GPU architectures; 90 is H100 and H200")
set(CMAKE_CUDA_RUNTIME_LIBRARY None)  # prefscore::cudart
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
# Kernels are the same code in every configuration; a profiler finds their lines in each.
set(CMAKE_CUDA_FLAGS_DEBUG "-O3 -lineinfo -g")
foreach(configuration RELEASE RELWITHDEBINFO MINSIZEREL)
  set(CMAKE_CUDA_FLAGS_${configuration} "-O3 -lineinfo -DNDEBUG")
endforeach()
if(CCACHE_PROGRAM)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
# CMake's probe of the compiler links a program: the wheel keeps its libraries in lib/, where nvcc looks in lib64/.
set(ENV{LIBRARY_PATH} "${wheel_cuda}/lib:$ENV{LIBRARY_PATH}")
enable_language(CUDA)
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 13)
  message(FATAL_ERROR "${PREFSCORE_NVCC} is of CUDA ${CMAKE_CUDA_COMPILER_VERSION}; the torch wheel is built for CUDA 13")
endif()
foreach(dialect STANDARD EXTENSION)  # CMake 3.25 does not know that nvcc has C++20
  set(CMAKE_CUDA20_${dialect}_COMPILE_OPTION "-std=c++20")
endforeach()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)

add_library(prefscore_cudart SHARED IMPORTED GLOBAL)
add_library(prefscore::cudart ALIAS prefscore_cudart)
set_target_properties(prefscore_cudart PROPERTIES
  IMPORTED_LOCATION ${PREFSCORE_CUDART}
  INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${PREFSCORE_CUDA_INCLUDE}
  INTERFACE_INCLUDE_DIRECTORIES ${PREFSCORE_CUDA_INCLUDE})

# Headers alone: the library is looked up at run time.
add_library(prefscore_cublaslt INTERFACE)
add_library(prefscore::cublaslt ALIAS prefscore_cublaslt)
target_link_libraries(prefscore_cublaslt INTERFACE prefscore_cudart)  # its headers come first
target_include_directories(prefscore_cublaslt SYSTEM INTERFACE ${PREFSCORE_CUBLASLT_INCLUDE})

# Nothing of ours names a symbol of libtorch_cuda.so: it registers its operators when it is loaded, so the linker must
# keep it. Its own CUDA libraries may be absent where this is linked.
add_library(prefscore_torch_cuda INTERFACE)
add_library(prefscore::torch_cuda ALIAS prefscore_torch_cuda)
target_link_libraries(prefscore_torch_cuda INTERFACE prefscore_torch prefscore_cudart)
target_link_options(prefscore_torch_cuda INTERFACE
  -Wl,--no-as-needed,${PREFSCORE_TORCH_DIR}/lib/libtorch_cuda.so,${PREFSCORE_TORCH_DIR}/lib/libc10_cuda.so
  -Wl,--as-needed,--allow-shlib-undefined)
