// The one place that names the library for views.
export { Component, createContext, h, html, render, useCallback, useContext, useEffect, useLayoutEffect, useMemo, useReducer,
  useRef, useState } from "../vendor/htm-preact.module.js";
