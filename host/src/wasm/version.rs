//! A version ready to make instances: a component, its configuration and limits.

use crate::processor::{ProcessError, Processor, Version};

use super::component::Component;
use super::document::OpenDocument;
use super::instance::Instance;
use super::limits::Limits;

/// Makes instances of one component with one configuration.
pub struct WasmVersion {
    component: Component,
    document: String,
    limits: Limits,
}

impl WasmVersion {
    pub fn new(component: &Component, document: &OpenDocument, limits: Limits) -> Self {
        Self { component: component.clone(), document: document.to_json(), limits }
    }
}

impl Version for WasmVersion {
    fn instance(&mut self) -> Result<Box<dyn Processor>, ProcessError> {
        Ok(Box::new(Instance::open(&self.component, &self.document, &self.limits)?))
    }
}
